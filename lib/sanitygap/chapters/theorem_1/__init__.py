"""theorem_1"""
