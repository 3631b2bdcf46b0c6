"""Named seeds derived from one.

Decision: every use of chance has a purpose and a seed of its own, `seed_for(seed, "model.init")`, so that adding
one use never changes another. Seed 0 is as good as any.
"""

from __future__ import annotations

import hashlib


def seed_for(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for a purpose, a pure function of its arguments on every platform."""
    text = "\x1f".join(map(str, (seed, *purpose))).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
