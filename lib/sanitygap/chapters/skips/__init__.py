"""skips"""
