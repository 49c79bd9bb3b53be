"""The extended test of Sriram and Conati (2022): sensitivity, guidance, and what tests can tell."""
