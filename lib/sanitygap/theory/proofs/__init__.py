"""Machine proofs (z3, sympy) of the formal statements, one module a topic."""
