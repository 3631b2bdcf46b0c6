"""What a distribution's metadata says of requirements: versions that satisfy, extras that bring a library.

Decisions: release numbers are compared, a pre-release counts as below its release; environment markers other
than `extra == "..."` are not evaluated. Import names that differ from the distribution's are listed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from shlex import quote
from typing import NamedTuple

#: Import name -> distribution, where normalising the one does not give the other.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "pynvml": "nvidia-ml-py",
    "re2": "google-re2",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}

_REQUIREMENT = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^]]*\])?\s*\(?(?P<versions>[^;()]*)\)?\s*(;(?P<marker>.*))?"
)
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_CLAUSE = re.compile(r"\s*(~=|===|==|!=|<=|>=|<|>)\s*([^\s,]+)\s*")
_VERSION = re.compile(r"v?(?:\d+!)?(\d+(?:\.\d+)*)(.*)")


class Requirement(NamedTuple):
    """One `Requires-Dist` line: normalised name, version clauses as written, the extra it belongs to."""

    name: str
    versions: str
    extra: str | None


def parse_requirement(line: str) -> Requirement | None:
    """Read a `Requires-Dist` value; None when it is none.

    >>> parse_requirement('peft>=0.11; extra == "lora"')
    Requirement(name='peft', versions='>=0.11', extra='lora')
    """
    match = _REQUIREMENT.fullmatch(line)
    if match is None:
        return None
    extra = _EXTRA.search(match["marker"] or "")
    name = re.sub(r"[-_.]+", "-", match["name"]).lower()
    return Requirement(name, match["versions"].strip().replace(" ", ""), extra and extra[1])


def satisfies(version: str, clauses: str) -> bool:
    """Whether a version meets clauses such as `>=1.0,<2`; clauses that cannot be read are met.

    >>> satisfies("1.4.0", ">=1.0,<2"), satisfies("2.0", "~=1.4"), satisfies("1.0rc1", ">=1.0")
    (True, False, False)
    """
    return all(
        _meets(version, *match.groups()) for match in map(_CLAUSE.fullmatch, clauses.split(",")) if match
    )


def bringing(import_name: str, requirements: Iterable[Requirement]) -> Requirement | None:
    """The requirement that brings the library imported as `import_name`; one without an extra is preferred.

    >>> bringing("rouge_score", [Requirement("rouge-score", "", "eval")]).extra
    'eval'
    """
    top = import_name.partition(".")[0]
    wanted = DISTRIBUTIONS.get(top, top).replace("_", "-").lower()
    found = [one for one in requirements if one.name == wanted]
    return min(found, key=lambda one: one.extra is not None, default=None)


def install_line(
    dist: str, *, missing: Iterable[str], requirements: Iterable[Requirement], source: str | None
) -> str:
    """A command that brings missing libraries for `dist`; `source` is its folder when it is editable."""
    known = list(requirements)
    found = {name: bringing(name, known) for name in missing}
    plain = [
        quote(f"{one.name}{one.versions}") for one in found.values() if one is not None and one.extra is None
    ]
    plain += [
        quote(DISTRIBUTIONS.get(name, name.partition(".")[0])) for name, one in found.items() if one is None
    ]
    extras = sorted({one.extra for one in found.values() if one is not None and one.extra is not None})
    words = [*plain]
    if extras:
        wanted = quote(f"{source or dist}[{','.join(extras)}]")
        words.insert(0, f"-e {wanted}" if source else wanted)
    return " ".join(["pip install", *words])


def requirements_of(metadata: Mapping[str, list[str]]) -> list[Requirement]:
    """All requirements of metadata headers."""
    return [one for one in map(parse_requirement, metadata.get("requires-dist", ())) if one is not None]


def _meets(version: str, operator: str, wanted: str) -> bool:
    if operator == "===":
        return version == wanted
    if wanted.endswith(".*"):
        prefix = _release(wanted[:-2])[0]
        same = _release(version)[0][: len(prefix)] == prefix
        return same if operator == "==" else not same
    have, need = _key(version), _key(wanted)
    if operator == "~=":
        prefix = _release(wanted)[0][:-1]
        return have >= need and _release(version)[0][: len(prefix)] == prefix
    return {
        "==": have == need,
        "!=": have != need,
        "<": have < need,
        "<=": have <= need,
        ">": have > need,
        ">=": have >= need,
    }[operator]


def _release(version: str) -> tuple[tuple[int, ...], str]:
    match = _VERSION.match(version)
    return (tuple(map(int, match[1].split("."))), match[2]) if match else ((), version)


def _key(version: str) -> tuple[tuple[int, ...], int]:
    numbers, rest = _release(version)
    trimmed = numbers
    while trimmed and trimmed[-1] == 0:
        trimmed = trimmed[:-1]
    early = bool(re.match(r"[-_.]?(a|b|c|rc|alpha|beta|pre|preview|dev)", rest.lower()))
    return trimmed, -1 if early else 0
