"""The randomisation test again, with other draws of the random weights."""

from sanitygap.experiments.randomization_test import randomization_test
from sanitygap.table import table

#: methods of one pass and the control
QUICK_METHODS = ("gradient", "gradient-x-input", "guided-backprop", "lrp-epsilon-plus", "noise")

#: the methods of the paper's figures and the control; the other sampling methods cost as much as
#: all of these together
METHODS = (*QUICK_METHODS, "lrp-alpha2-beta1", "lrp-gamma-box", "integrated-gradients")

#: with the run's own seed 0, the five draws that the ledger asks for
SEEDS = (1, 2, 3, 4)

table(
    "randomization-seeds",
    by=["seeds", "methods"],
    # the same steps as the table randomization has in that profile
    smoke={"methods": QUICK_METHODS, "seeds": (1,), "n_steps": 2, "max_images": 2},
    quick={"methods": QUICK_METHODS, "seeds": (1, 2), "n_steps": 5, "max_images": 4},
    full={"methods": METHODS, "seeds": SEEDS, "max_images": 100},
)(randomization_test)
