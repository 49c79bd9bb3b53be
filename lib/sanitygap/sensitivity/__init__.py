"""The sensitivity S of Sriram and Conati (2022): definitions, bands, proofs and printed tables."""
