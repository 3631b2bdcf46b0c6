"""The rules for secrets that have no form of their own: what is assigned to a telling name, and URL user-info.

Decisions: the name must end in a telling word (`db_password`, `apiKey`, `client_secret`), so that `max_tokens`,
`token_type` and `password_file` are not asked; the value must look made up: `looks_made_up` refuses words,
references, templates and placeholders, and asks more of a value without quotes, which may be code.
"""

from __future__ import annotations

import math
import re
from collections import Counter

from codex_safety.rules import Rule, Span, needs_head

#: What may stand directly before `key` for the name to be telling.
_KEY_OWNERS = tuple(
    owner + joint
    for owner in (
        "api", "access", "account", "auth", "encryption", "license", "master", "private", "secret", "service",
        "shared", "signing", "storage", "subscription",
    )
    for joint in ("", "_", "-")
)  # fmt: skip

NAME = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|key)"
    r"(?:[_-]?(?:access[_-]?key|key|value|token|base|[0-9]{1,2}))?"
)
#: After the name: the end of a quoted key or an index, then `=`, `:`, `:=`, `=>` or an annotated `=`.
OPERATOR = r"""["'`]?\]?[ \t]{0,8}(?:(?::[ \t]?(?:str|string|bytes)[ \t]?)?=(?![=])>?|:=?)[ \t]{0,8}"""
VALUE = (
    r"""(?:[rbfu]{0,2}(?P<mark>["'`])(?P<quoted>[^"'`\s\\]{8,512}+)(?P=mark)"""
    r"""|(?P<bare>[A-Za-z0-9+/_.~!@#%^*=-]{8,512}+)(?![A-Za-z0-9+/_.~!@#%^*=(\[{-]))"""
)
HEAD = re.compile(NAME + OPERATOR, re.IGNORECASE)
ASSIGNMENT = re.compile(NAME + OPERATOR + VALUE, re.IGNORECASE)
HEAD_REACH = 64
ASSIGNMENT_REACH = HEAD_REACH + 520

_PLACEHOLDER = re.compile(
    r"^[$<%{]|\.\.\.|[{}]|\*\*\*|%\(|x{4,}|0{6,}|^(?:sha1|sha256|sha512|md5|blake3)[:-]"
    r"|^(?:https?|file|s3|gs)://"
    r"|(?<![a-z])(?:example|placeholder|change[_-]?me|dummy|redacted|insert|replace|your)(?![a-z])"
    r"|12345678|abcdefgh|qwertyu",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z]+[0-9]{0,4}|[0-9]{1,4}")
_PIECES = re.compile(r"[A-Za-z0-9]+")
_IDENTIFIERS = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_SIGNS = re.compile(r"[!@#^&*?~+$%]")
_CHANGES = re.compile(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
_CASE_CHANGES = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[a-z])")


def find_assigned(text: str, at: int) -> Span | None:
    """The value assigned to the name that has a telling word at `at`."""
    if text[at].lower() == "k" and not text[max(0, at - 16) : at].lower().endswith(_KEY_OWNERS):
        return None  # a key of a dictionary, a lock or a piano
    match = ASSIGNMENT.match(text, at)
    if match is None:
        return None
    group = "quoted" if match["quoted"] is not None else "bare"
    return match.span(group) if looks_made_up(match[group], is_quoted=group == "quoted") else None


def looks_made_up(value: str, *, is_quoted: bool) -> bool:
    """Whether a value is one that somebody drew or invented, rather than a word, a name or a reference.

    >>> looks_made_up("correct-horse", is_quoted=True), looks_made_up("tr0ub4dor&3x", is_quoted=True)
    (False, True)
    """
    if _PLACEHOLDER.search(value) or len(set(value)) < 6:
        return False
    pieces = _PIECES.findall(value)
    if all(_WORD.fullmatch(piece) for piece in pieces) and not _is_noisy(value):
        return False
    if is_quoted:
        return entropy(value) >= 2.5
    changes = len(_CHANGES.findall(value))
    if changes and len(value) >= 10 and 2 * (changes + len(_CASE_CHANGES.findall(value))) >= len(value):
        return True
    if _IDENTIFIERS.fullmatch(value):
        return changes >= 3 and len(value) >= 16 and entropy(value) >= 3.2
    return changes >= 2 and len(value) >= 10 and entropy(value) >= 3.0


def entropy(value: str) -> float:
    """Shannon entropy of the characters, in bits per character.

    >>> entropy("aabb")
    1.0
    """
    total = len(value)
    return -sum(count / total * math.log2(count / total) for count in Counter(value).values())


def _is_noisy(value: str) -> bool:
    """Whether it mixes words with digits and signs as only passwords do, such as `Word123!`."""
    return bool(_SIGNS.search(value)) and any(c.isdigit() for c in value) and any(c.isupper() for c in value)


ASSIGNED_SECRET = Rule(
    name="assigned-secret",
    summary="values that look made up, assigned to names such as password, api_key, client_secret, token",
    literals=("passw", "passphrase", "pwd", "secret", "token", "key"),
    reach=ASSIGNMENT_REACH,
    find=find_assigned,
    pattern=ASSIGNMENT,
    ignore_case=True,
    needs=needs_head(HEAD, HEAD_REACH, ASSIGNMENT_REACH),
)
