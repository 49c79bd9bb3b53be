"""theorem_2"""
