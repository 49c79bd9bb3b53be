"""The formal half of Binder et al. (2022): closed forms, simulations and machine proofs."""
