"""Tokenizers for Codex: byte-level BPE over the Hugging Face tokenizers library."""

__version__ = "1.0.0"
