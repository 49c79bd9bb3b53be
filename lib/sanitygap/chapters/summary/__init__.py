"""A published summary of Binder et al. (2022), sentence by sentence."""
