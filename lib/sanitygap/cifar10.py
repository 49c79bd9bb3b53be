"""CIFAR-10's ten classes."""

#: names of the classes in the order of their indices (Krizhevsky 2009)
CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
