"""The randomisation-based sanity check, its free choices, and what unrelated maps score."""
