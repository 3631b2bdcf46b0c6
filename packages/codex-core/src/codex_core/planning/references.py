"""References to the environment: `${env:NAME}` within an option that names a file or folder (`unit="path"`).

Decisions: places differ between machines, meanings must not, so paths are the only values that may come from the
environment; a reference is kept as written in configurations, hashes, locks and everything else that is stored, and
resolved where the file is opened; anywhere else it is refused rather than taken for text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from codex_core.errors import InputError
from codex_core.planning.choices import Resolved
from codex_core.planning.structuring import Mistake, flat

CODE = "CFG-015"

_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_SECTION = re.compile(
    r"((?:data\.sources|evaluation\.metrics|writers)\[\d+\]|tokenizer|model|trainer|safety)\.(.+)"
)


def resolved(text: str, environ: Mapping[str, str], *, where: str) -> str:
    """The text with every reference replaced; raises `InputError` for a variable that is not set or empty.

    >>> resolved("${env:DATA}/a.txt", {"DATA": "/corpus"}, where="data.sources[0].path")
    '/corpus/a.txt'
    """

    def value(match: re.Match[str]) -> str:
        if environ.get(match[1]):
            return environ[match[1]]
        raise InputError(
            code="CFG-016",
            what=f"the environment variable {match[1]} is not set",
            where=where,
            why=f"the configuration says {text!r}",
            fix=f"export {match[1]}=FOLDER",
        )

    return _REFERENCE.sub(value, text)


def misplaced(values: Mapping[str, Any], found: Mapping[str, Resolved]) -> Iterator[Mistake]:
    """A mistake for every reference where none is allowed, and for every one that cannot be read.

    Options of a component whose class is not at hand are not judged: nobody here knows which of them are paths.
    """
    for path, value in flat(values).items():
        for text in value if isinstance(value, list | tuple) else (value,):
            if not isinstance(text, str) or "${" not in text:
                continue
            allowed = _is_path(path, found)
            if allowed and "${" in _REFERENCE.sub("", text):
                what = f"{text!r:.80} holds a reference that cannot be read"
                yield Mistake(path, CODE, what, "a reference is ${env:NAME}", "write ${env:NAME}")
            elif allowed is False and "${env:" in text:
                why = "only options that name a file or folder may refer to the environment"
                yield Mistake(
                    path, CODE, f"{text!r:.80} refers to the environment", why, "write the value itself"
                )


def _is_path(path: str, found: Mapping[str, Resolved]) -> bool | None:
    """Whether an option names a file or folder; None when that cannot be known."""
    match = _SECTION.fullmatch(path)
    if match is None:
        return False
    if match[1] not in found:
        return None
    cls = type(found[match[1]].typed)
    if not attrs.has(cls):
        return None if found[match[1]].state != "ok" else False
    fields = {field.name: field for field in attrs.fields(cls)}
    return match[2] in fields and fields[match[2]].metadata.get("unit") == "path"
