"""One spelling of JSON and one spelling of digests.

Decisions: canonical JSON has sorted keys, no white space, UTF-8 and no NaN; small files and identities use
sha256, payload files blake3; a digest names its algorithm (`sha256:<hex>`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import blake3

_CHUNK_BYTES = 1 << 20


def canonical_json(value: Any) -> bytes:
    """`value` as canonical JSON; raises `ValueError` for NaN and infinities.

    >>> canonical_json({"b": 1, "a": "é"}).decode()
    '{"a":"é","b":1}'
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def readable_json(value: Any) -> str:
    """`value` as JSON for files that people open: sorted keys, two spaces, a final newline."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def digest_of(value: Any) -> str:
    """`sha256:<hex>` of the canonical JSON of `value`."""
    return sha256_of(canonical_json(value))


def sha256_of(data: bytes) -> str:
    """`sha256:<hex>` of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """`<algorithm>:<hex>` of a file's bytes; `algorithm` is `sha256` or `blake3`."""
    hasher = blake3.blake3() if algorithm == "blake3" else hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return f"{algorithm}:{hasher.hexdigest()}"


def digest_matches(path: Path, digest: str) -> bool:
    """Whether a file's bytes have this digest, by the algorithm the digest names."""
    return file_digest(path, digest.partition(":")[0]) == digest
