"""Faithfulness by occlusion, and what replaces a region."""
