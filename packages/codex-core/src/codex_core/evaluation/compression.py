"""What a general compressor needs for the same bytes: a baseline that no model should lose to.

Decisions: texts are joined in stored order by one newline, as an end-of-text token separates them for a model; the
denominator is the bytes of the texts alone, the one that `bits_per_byte` of a model has; the format is .xz with
preset 9 extreme (`xz -9e`), container and checksum included. With a primer the number is what the test texts add to
an archive that already holds the primer: xz(primer + test) - xz(primer).
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable

from codex_core.errors import InputError

SIGNATURE = "xz -9e|texts joined by newline|per:utf-8 byte of the texts"
PRIMED_SIGNATURE = (
    "xz -9e of primer and test minus primer|texts joined by newline|per:utf-8 byte of the test texts"
)


def xz_bits_per_byte(test: Iterable[str], *, primer: Iterable[str] | None = None) -> float:
    """Bits per UTF-8 byte of the texts `test`, alone or after the texts `primer`; 2 MB take about a second.

    Raises `InputError` when `test` holds no byte.
    """
    texts = [text.encode() for text in test]
    num_bytes = sum(map(len, texts))
    if not num_bytes:
        raise InputError(
            code="EVL-001",
            what="there is nothing to compress",
            why=f"{len(texts)} texts hold no byte",
            fix="name a split that holds text",
        )
    known = [] if primer is None else [text.encode() for text in primer]
    size_bytes = _compressed_bytes([*known, *texts]) - (_compressed_bytes(known) if known else 0)
    return 8 * size_bytes / num_bytes


def _compressed_bytes(texts: list[bytes]) -> int:
    return len(lzma.compress(b"\n".join(texts), format=lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME))
