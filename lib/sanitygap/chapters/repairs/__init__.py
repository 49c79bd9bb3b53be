"""Other orders, two repairs, and the check as a decision."""
