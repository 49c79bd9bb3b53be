"""Every formal statement of Binder et al. (2022) with its verdict."""
