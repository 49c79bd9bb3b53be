"""theorems_3_4"""
