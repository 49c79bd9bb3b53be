"""irrelevance"""
