"""The gap between the two tests, under every specification."""
