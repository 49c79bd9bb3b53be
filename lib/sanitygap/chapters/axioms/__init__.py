"""axioms"""
