"""Small networks built or trained for one question, where the answer is known or cheap to find."""
