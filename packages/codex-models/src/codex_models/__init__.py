"""Models for Codex: a decoder-only Transformer, the torch trainer and generation."""

__version__ = "1.0.0"
