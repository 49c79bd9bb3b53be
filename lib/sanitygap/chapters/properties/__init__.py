"""Appendices A.2, F and G of Binder et al. (2022): properties of rules and of evidence."""
