"""Find every distribution that claims to be a plugin, whatever state it is in. Nothing of it is imported.

Decisions: metadata is read through importlib-metadata, one search-path entry at a time, every distribution behind
its own guard; of several copies of a distribution the first with metadata counts, and a dist-info folder beats an
egg-info folder; `CODEX_API` is read from the source text.

A *fact* is what is known of one claimed plugin, as plain values (see `FACT`); facts are kept in the index.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from importlib_metadata import Distribution, DistributionFinder, MetadataPathFinder

from codex_core import CODEX_API, __version__
from codex_core.plugins import requirements
from codex_core.plugins.locate import find_module
from codex_core.plugins.selection import BUILT_IN, normalised

GROUP = "codex.plugins"
#: The oldest plugin API that this core serves.
OLDEST_API = (1, 0)
MAX_FILE_BYTES = 1 << 20

Fact = dict[str, Any]

#: The fields of a fact and their values when nothing is known.
FACT: Fact = {
    "dist": None,
    "version": None,
    "entry_point": None,
    "module": None,
    "origin": None,
    "location": None,
    "metadata_path": None,
    "editable": False,
    "built_in": False,
    "api": None,
    "requirements": (),
    "copies": (),
    "notes": (),
    "problem": None,
    "components": (),
    "events": (),
    "absent_targets": (),
    "import_ms": None,
    "memory_mb": None,
    "heavy": (),
    "files": (),
    "shared_files": (),
    "probed_at": None,
}


class Scan(NamedTuple):
    """What the search path holds: facts so far, the paths they depend on, entries that could not be searched."""

    facts: list[Fact]
    inputs: list[str]
    skipped: list[str]


def scan(search: Sequence[str]) -> Scan:
    """All claimed plugins on the search path, in a stable order."""
    inputs: list[str] = []
    skipped: list[str] = []
    by_name: dict[str, list[_Folder]] = {}
    for entry in search:
        inputs.append(entry)
        if not os.path.exists(entry):
            skipped.append(entry)
            continue
        for folder in _folders(entry, skipped):
            by_name.setdefault(folder.name, []).append(folder)
    facts: list[Fact] = []
    for copies in by_name.values():
        facts.extend(_claims(copies, search, inputs))
    facts.sort(key=lambda fact: (fact["dist"], str(fact["entry_point"]), str(fact["metadata_path"])))
    return Scan(facts, inputs, skipped)


def find_distribution(name: str, search: Sequence[str]) -> Fact | None:
    """What metadata says of one distribution, without looking at any other; None when it is not installed."""
    context = DistributionFinder.Context(name=name, path=list(search))  # type: ignore[no-untyped-call]  # as published
    copies = [_Folder(dist, "") for dist in MetadataPathFinder.find_distributions(context)]
    copies = [one for one in copies if not one.is_leftover and _mentions_us(one)]
    ranked = sorted(copies, key=lambda one: (not one.metadata(), one.is_egg_info))
    return _about(ranked[0]) if ranked else None


def problem(reason: str, hint: str, fix: str) -> dict[str, str]:
    """Why a plugin cannot be used, as facts and rows hold it."""
    return {"reason": reason, "hint": hint, "fix": fix}


class _Folder:
    """One metadata folder: where it lies and how its files are read."""

    def __init__(self, dist: Distribution, entry: str) -> None:
        place = getattr(dist, "_path", None)
        self.dist = dist
        self.entry = entry
        self.path = str(place) if place is not None else entry
        self.on_disk = isinstance(place, Path)
        self._read: dict[str, bytes | None] = {}
        base = os.path.basename(self.path.rstrip("/\\"))
        if base.upper() == "EGG-INFO":
            base = os.path.basename(os.path.dirname(self.path.rstrip("/\\")))
        stem = base.rpartition(".")[0] or base
        raw, _, version = stem.partition("-")
        self.is_leftover = base.startswith("~")
        self.is_egg_info = not base.endswith(".dist-info")
        self.name = normalised(raw.lstrip("~") or raw)
        self.version = version.partition("-")[0] or None
        if self.is_leftover:
            self.name = f"~{self.name}"

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def read(self, name: str) -> bytes | None:
        """The bytes of a metadata file, None when there is none; raises `OSError` when it cannot be read."""
        if name not in self._read:
            self._read[name] = self._read_now(name)
        return self._read[name]

    def _read_now(self, name: str) -> bytes | None:
        if not self.on_disk:
            text = self.dist.read_text(name)
            return None if text is None else text.encode()
        try:
            with open(self.file(name), "rb") as file:
                return file.read(MAX_FILE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def metadata(self) -> dict[str, list[str]]:
        """The headers of METADATA or PKG-INFO, in lower case; empty when there are none."""
        for name in ("METADATA", "PKG-INFO"):
            try:
                content = self.read(name)
            except Exception:  # noqa: BLE001 - whatever a finder of somebody else does, the row is still shown
                content = None
            if content:
                return _headers(content.decode("utf-8", "replace"))
        return {}


def _folders(entry: str, skipped: list[str]) -> Iterator[_Folder]:
    context = DistributionFinder.Context(path=[entry])  # type: ignore[no-untyped-call]  # as published
    try:
        found = list(Distribution.discover(context=context))
    except Exception:  # noqa: BLE001 - one finder of somebody else failed; the standard one is asked alone
        skipped.append(entry)
        found = list(MetadataPathFinder.find_distributions(context))
    for dist in found:
        try:
            yield _Folder(dist, entry)
        except Exception:  # noqa: BLE001 - a distribution object of somebody else that has no usable place
            skipped.append(entry)


def _claims(copies: list[_Folder], search: Sequence[str], inputs: list[str]) -> list[Fact]:
    for folder in copies:
        if folder.on_disk:
            inputs.append(folder.file("entry_points.txt"))
    if len(copies) == 1 and not _mentions_us(copies[0]):
        return []
    if not any(_mentions_us(folder) for folder in copies):
        return []
    ranked = sorted(copies, key=lambda one: (not one.metadata(), one.is_egg_info))
    chosen, others = ranked[0], ranked[1:]
    for folder in copies:
        inputs += [folder.file(name) for name in ("METADATA", "direct_url.json") if folder.on_disk]
    if not _mentions_us(chosen):
        return []
    notes = [f"older-copy: {other.path} ({other.version or 'no version'}) is not used" for other in others]
    base = {**_about(chosen), "copies": [other.path for other in others], "notes": notes}
    try:
        return [_checked({**base, **claim}, search) for claim in _entry_points(chosen, base)]
    except Exception as error:  # noqa: BLE001 - metadata of somebody else; the row says what it did to us
        return [{**base, "problem": problem("entry-points-malformed", _said(error), _reinstall(base))}]


def _mentions_us(folder: _Folder) -> bool:
    try:
        content = folder.read("entry_points.txt")
    except UnicodeDecodeError:
        return True
    except Exception:  # noqa: BLE001 - unreadable: ours if its metadata says that it builds on the core
        return any(one.name == "codex-core" for one in requirements.requirements_of(folder.metadata()))
    return content is not None and GROUP.encode() in content


def _about(folder: _Folder) -> Fact:
    """What metadata alone says of a distribution."""
    headers = folder.metadata()
    # Names go into commands that people paste: whatever a name cannot hold becomes a dash.
    name = normalised(next(iter(headers.get("name", ())), "") or folder.name.lstrip("~"))
    name = re.sub(r"[^a-z0-9-]+", "-", name).strip("-") or "unnamed"
    version = next(iter(headers.get("version", ())), "") or folder.version
    fact = {
        **FACT,
        "dist": name,
        "version": version,
        "location": folder.entry,
        "metadata_path": folder.path,
        "built_in": name in BUILT_IN,
        "requirements": [list(one) for one in requirements.requirements_of(headers)],
    }
    source = _editable_source(folder)
    return fact if source is None else {**fact, "editable": True, "location": source}


def _editable_source(folder: _Folder) -> str | None:
    try:
        written = json.loads(folder.read("direct_url.json") or b"{}")
        if not written.get("dir_info", {}).get("editable"):
            return None
        return os.path.normpath(unquote(urlsplit(written["url"]).path))
    except Exception:  # noqa: BLE001 - the file is a convenience of installers; without it the row says less
        return None


def _entry_points(folder: _Folder, base: Fact) -> list[Fact]:
    """One claim per entry point of our group; a file that cannot be read is one claim with its problem."""
    if folder.is_leftover:
        fix = f"rm -r {quote(folder.path)}"
        said = f"{folder.path} was left behind by an interrupted installation"
        return [{"problem": problem("half-removed", said, fix)}]
    try:
        content = folder.read("entry_points.txt") or b""
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return [{"problem": problem("entry-points-not-utf8", _said(error), _reinstall(base))}]
    except OSError as error:
        return [{"problem": problem("entry-points-unreadable", _said(error), _reinstall(base))}]
    pairs, malformed = _group_lines(text)
    if malformed or len(content) > MAX_FILE_BYTES:
        said = f"line {malformed}: neither a section nor `name = value`" if malformed else "larger than 1 MiB"
        return [{"problem": problem("entry-points-malformed", said, _reinstall(base))}]
    claims: list[Fact] = [{"entry_point": name, "module": value} for name, value in pairs]
    names = [name for name, _ in pairs]
    for claim in claims:
        if names.count(claim["entry_point"]) > 1:
            said = f"{claim['entry_point']!r} is there {names.count(claim['entry_point'])} times"
            claim["problem"] = problem("duplicate-entry-point", said, _reinstall(base))
    return list({claim["entry_point"]: claim for claim in claims}.values())


def _group_lines(text: str) -> tuple[list[tuple[str, str]], int]:
    """The pairs of our group, and the number of the first malformed line (0 when there is none)."""
    pairs: list[tuple[str, str]] = []
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            if not line.endswith("]"):
                return pairs, number
            section = line[1:-1].strip()
            continue
        name, equals, value = line.partition("=")
        if section == GROUP or not section:
            if not equals or not name.strip():
                return pairs, number
            pairs.append((name.strip(), value.strip()))
    return pairs, 0


def _checked(fact: Fact, search: Sequence[str]) -> Fact:
    """Add what files tell before any import: the module's place, the API, the core's version."""
    if fact["problem"] is not None:
        return fact
    if fact["editable"] and not os.path.isdir(fact["location"]):
        said = f"{fact['location']} does not exist"
        return {**fact, "problem": problem("source-gone", said, f"pip uninstall {fact['dist']}")}
    fact = {**fact, "problem": _core_problem(fact)}
    module = fact["module"]
    if not all(part.isidentifier() for part in module.split(".")):
        said = f"{module!r} is not a dotted module name; an attribute or an extra has no place here"
        return {**fact, "problem": problem("not-a-module", said, _reinstall(fact))}
    if module.partition(".")[0] in sys.stdlib_module_names:
        said = f"{module!r} belongs to Python itself"
        return {**fact, "problem": problem("foreign-module", said, _reinstall(fact))}
    found = find_module(module, search)
    if found is None or found[0] is None:
        said = f"{module!r} cannot be found where {fact['dist']} is installed"
        return {**fact, "problem": fact["problem"] or problem("module-not-found", said, _reinstall(fact))}
    fact = {**fact, "origin": found[0], "notes": [*fact["notes"], *_foreign_note(fact, found[0])]}
    return _negotiated(fact)


def _core_problem(fact: Fact) -> dict[str, str] | None:
    for name, clauses, extra in fact["requirements"]:
        if name == "codex-core" and extra is None and not requirements.satisfies(__version__, clauses):
            said = f"it requires codex-core{clauses}, installed is {__version__}"
            return problem("core-requirement", said, f"pip install 'codex-core{clauses}'")
    return None


def _negotiated(fact: Fact) -> Fact:
    """Compare the plugin's `CODEX_API` with the core's, from the source text alone."""
    if fact["problem"] is not None:
        return fact
    declared, line = read_api(fact["origin"])
    if line == 0:
        note = f"api-not-declared: {fact['module']} has no CODEX_API; (1, 0) is assumed"
        return {**fact, "api": list(OLDEST_API), "notes": [*fact["notes"], note]}
    where = f"{fact['origin']}:{line}"
    if declared is None:
        said = f"CODEX_API at {where} is not a pair of whole numbers such as (1, 0)"
        fix = f"in {fact['origin']}: CODEX_API = ({CODEX_API[0]}, {CODEX_API[1]})"
        return {**fact, "problem": problem("api-not-literal", said, fix)}
    fact = {**fact, "api": list(declared)}
    core = f"codex-core {__version__} serves {OLDEST_API} to {CODEX_API}"
    if declared[0] > CODEX_API[0] or (declared[0] == CODEX_API[0] and declared[1] > CODEX_API[1]):
        said = f"it is written for plugin API {declared}, {core}; codex-core is the side to upgrade"
        return {**fact, "problem": problem("api-too-new", said, "pip install --upgrade codex-core")}
    if declared < OLDEST_API:
        said = f"it is written for plugin API {declared}, {core}; {fact['dist']} is the side to upgrade"
        return {**fact, "problem": problem("api-too-old", said, f"pip install --upgrade {fact['dist']}")}
    return fact


def read_api(origin: str) -> tuple[tuple[int, int] | None, int]:
    """The literal `CODEX_API` of a source file and its line; line 0 when there is none, None when no literal pair."""
    try:
        with open(origin, "rb") as file:
            tree = ast.parse(file.read(MAX_FILE_BYTES))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None, 0  # the import says more about it than this could
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not any(isinstance(target, ast.Name) and target.id == "CODEX_API" for target in targets):
            continue
        try:
            value = ast.literal_eval(getattr(node, "value", None) or ast.Constant(None))
        except (ValueError, RecursionError):
            value = None
        pair = isinstance(value, tuple) and len(value) == 2 and all(type(one) is int for one in value)
        return (value if pair else None), node.lineno
    return None, 0


def _foreign_note(fact: Fact, origin: str) -> list[str]:
    """A remark when the module is not among the files that the distribution recorded."""
    if fact["editable"] or not os.path.isfile(record := os.path.join(fact["metadata_path"], "RECORD")):
        return []
    try:
        with open(record, encoding="utf-8", errors="replace") as file:
            listed = file.read()
        relative = os.path.relpath(origin, fact["location"]).replace(os.sep, "/")
    except (OSError, ValueError):
        return []
    if any(line.startswith(f"{relative},") for line in listed.splitlines()):
        return []
    return [f"module-elsewhere: {origin} is not among the files that {fact['dist']} installed"]


def _headers(text: str) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace() and value.strip():
            headers.setdefault(name.strip().lower(), []).append(value.strip())
    return headers


def _reinstall(fact: Fact) -> str:
    if fact["editable"]:
        return f"pip install -e {quote(str(fact['location']))}"
    return f"pip install --force-reinstall {fact['dist']}"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
