"""randomization"""
