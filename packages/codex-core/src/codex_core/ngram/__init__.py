"""The dependency-free baseline: an interpolated modified Kneser-Ney model over any tokenizer's ids."""
