"""The parameter test and the data test of Adebayo et al. (2018)."""
