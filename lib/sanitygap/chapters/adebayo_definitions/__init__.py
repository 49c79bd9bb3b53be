"""Methods and similarities as Adebayo et al. (2018) define them."""
