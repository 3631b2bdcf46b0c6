"""Safety for Codex: policies over training data, prompts and outputs, and scans of a tree."""

__version__ = "1.0.0"
