"""Theorem 2: large activations stay ahead; in simulations and in real networks."""
