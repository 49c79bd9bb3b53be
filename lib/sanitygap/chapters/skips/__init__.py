"""Skip connections preserve a baseline (Binder et al. 2022, Sec. 4.2)."""

#: LRP-beta in convolutions and LRP-epsilon in dense layers, with beta 0 and 1: Fig. 7 names these
#: rules, but not beta
BETAS = {"lrp-epsilon-plus": 0.0, "lrp-alpha2-beta1": 1.0}
