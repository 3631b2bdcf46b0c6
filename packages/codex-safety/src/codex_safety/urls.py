"""The rule for URLs that carry a password or a token before the host."""

from __future__ import annotations

import re

from codex_safety.assignments import looks_made_up
from codex_safety.rules import Rule, Span, needs_run

USER_INFO = re.compile(
    r"://(?:(?P<user>[^\s/?#@:\[\]\"'<>\\]{0,64}):(?P<password>[^\s/?#@\"'<>\\]{3,128})|(?P<token>[A-Za-z0-9_.-]{20,128}))"
    r"@(?=[A-Za-z0-9\[])"
)
USER_INFO_REACH = 200
_AUTHORITY = r"://[^\s/?#\"'<>\\]"

#: Passwords that are no passwords: what manuals write.
_MANUAL = re.compile(
    r"(?i)(?:my|the|your|some|user)?[_-]?(?:pass(?:word|wd|phrase)?|pwd?|secret|token|x+|\*+|\.+)[0-9]{0,3}|[$%<{\[(].*"
)


def find_user_info(text: str, at: int) -> Span | None:
    """The password or token of the URL whose `://` stands at `at`."""
    match = USER_INFO.match(text, at)
    if match is None:
        return None
    if (password := match["password"]) is not None:
        return None if _MANUAL.fullmatch(password) else match.span("password")
    return match.span("token") if looks_made_up(match["token"], is_quoted=False) else None


URL_PASSWORD = Rule(
    name="url-password",
    summary="passwords and tokens in the user part of a URL",
    literals=("://",),
    reach=USER_INFO_REACH,
    find=find_user_info,
    pattern=USER_INFO,
    needs=needs_run(_AUTHORITY, USER_INFO_REACH),
)
