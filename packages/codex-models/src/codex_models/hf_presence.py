"""Whether the library transformers can be used here; asking imports nothing."""

from __future__ import annotations

from importlib.util import find_spec


def has_transformers() -> bool:
    """Tell whether transformers is installed, and the library that reads tokenizer files, without which it fails."""
    return all(find_spec(name) is not None for name in ("transformers", "tokenizers"))
