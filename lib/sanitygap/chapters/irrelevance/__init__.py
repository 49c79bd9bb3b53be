"""What randomising the top cannot change (Binder et al. 2022, Sec. 4.1, Eq. 3 to 6)."""
