"""sriram"""
