"""Features that a network generates itself, and axioms that they test (Khakzar et al. 2022)."""
