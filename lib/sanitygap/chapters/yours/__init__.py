"""A person's own methods between the usual ones and the controls, in both tests."""

COMPARED = (
    "gradient", "gradient-x-input", "integrated-gradients", "guided-backprop", "lrp-epsilon-plus",
    "noise", "edges",
)  # fmt: skip

#: methods that a run without own ones is shown with
EXAMPLES = tuple(f"sanitygap.examples:{name}" for name in ("smoothed", "drawn", "steps"))
