"""attribution_maps"""
