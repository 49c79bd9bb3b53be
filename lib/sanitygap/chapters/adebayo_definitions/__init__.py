"""adebayo_definitions"""
