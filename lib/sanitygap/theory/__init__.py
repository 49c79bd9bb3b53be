"""The formal half of Binder et al. (2022): closed forms, simulations and machine proofs."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
