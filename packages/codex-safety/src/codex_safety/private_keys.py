"""The rule for private keys: a block in PEM or PGP armour, whole or cut off, in a file or inside a string.

Decisions: a block is its BEGIN line, what follows up to the next five dashes, and the END line if it stands there;
a block without END loses what looks like the body. A BEGIN line without a body, as documentation has it, is none.
"""

from __future__ import annotations

import re

from codex_safety.rules import Rule, Span, needs_head

#: Longer than a key of 16,384 bits, which takes 12,700 characters.
MAX_BODY = 16_384

BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
BEGIN_REACH = 73
END = re.compile(r"-----END [A-Z0-9 ]{0,64}-----")
END_REACH = 79
REACH = BEGIN_REACH + MAX_BODY + END_REACH

_BODY = re.compile(r"[A-Za-z0-9+/=\s\\:,-]*+")
_KEY_MATERIAL = re.compile(r"[A-Za-z0-9+/=]{32}")


def find_private_key(text: str, at: int) -> Span | None:
    """The block whose BEGIN line starts at `at`."""
    begin = BEGIN.match(text, at)
    if begin is None:
        return None
    limit = min(len(text), begin.end() + MAX_BODY)
    dashes = text.find("-----", begin.end(), limit)
    end = END.match(text, dashes) if dashes >= 0 else None
    if end is not None:
        body_end, stop = dashes, end.end()
    else:
        body = _BODY.match(text, begin.end(), dashes if dashes >= 0 else limit)
        assert body is not None  # it may be empty, it cannot fail
        body_end = stop = body.end()
    return (at, stop) if _KEY_MATERIAL.search(text, begin.end(), body_end) else None


PRIVATE_KEY = Rule(
    name="private-key",
    summary="private key blocks in PEM or PGP armour, whole or cut off",
    literals=("-----BEGIN ",),
    reach=REACH,
    find=find_private_key,
    pattern=BEGIN,
    needs=needs_head(BEGIN, BEGIN_REACH, REACH),
)
