"""What randomisation preserves: irrelevance, skips, active regions (Binder et al. 2022, Sec. 4)."""
