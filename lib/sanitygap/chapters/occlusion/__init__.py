"""occlusion"""
