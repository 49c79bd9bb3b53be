"""Generated features and the axioms of Khakzar et al. (2022): two notebooks, one room."""
