"""Named shapes of the decoder: what `size: S` stands for; importing this module loads no torch.

Decisions: a size is a set of explicit numbers, and those are what a plan prints and a lock keeps; a size never
changes its numbers once released, a better one gets a new name; a size says nothing of the vocabulary.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple


class Size(NamedTuple):
    """The numbers behind a name."""

    layers: int
    width: int
    heads: int
    ffn_width: int
    tied_embeddings: bool


#: Sizes by name; S and M are the ones that `bench/` measures.
SIZES = MappingProxyType(
    {
        "nano": Size(layers=2, width=64, heads=2, ffn_width=192, tied_embeddings=True),
        "tiny": Size(layers=4, width=128, heads=4, ffn_width=384, tied_embeddings=True),
        "S": Size(layers=6, width=256, heads=4, ffn_width=768, tied_embeddings=False),
        "M": Size(layers=12, width=512, heads=8, ffn_width=1408, tied_embeddings=False),
        "L": Size(layers=12, width=768, heads=12, ffn_width=2048, tied_embeddings=False),
        "XL": Size(layers=24, width=1024, heads=16, ffn_width=2816, tied_embeddings=False),
    }
)


class Standard(int):
    """A default number, which can be told from the same number written by hand."""
