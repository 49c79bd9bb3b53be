"""adebayo"""
