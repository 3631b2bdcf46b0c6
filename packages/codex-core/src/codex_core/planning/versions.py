"""Versions of the configuration format, and how a file of an older one becomes one of the present one.

Decisions: each file is brought up alone, before it is laid over what it extends; versions differ by names only, so
that a migration is an edit of these names in the text, which leaves comments, order and spelling as they were; a
newer version is refused, because what it means cannot be known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from ruamel.yaml import YAML

from codex_core.errors import ConfigError
from codex_core.planning.configio import Node, parse, plain
from codex_core.planning.sections import SCHEMA
from codex_core.planning.structuring import Mistake


@attrs.frozen(kw_only=True)
class Migration:
    """How one version becomes the next: `renames` are dotted paths and the last key that they get."""

    to: str
    renames: Mapping[str, str]


#: Older versions that can be read; `codex-run/0` was never released and keeps the way between versions tested.
MIGRATIONS: dict[str, Migration] = {
    "codex-run/0": Migration(
        to=SCHEMA, renames={"data.sequence_length": "seq_len", "trainer.steps": "duration"}
    )
}


def upgraded(node: Node, *, source: str) -> tuple[Node, list[str]]:
    """The values of one file in the present version, and what to tell its author when they were in an older one.

    A file that names no version is read as the present one. Raises `ConfigError` for a version that is newer or
    unknown, and for a file that holds both names of a key.
    """
    assert isinstance(node.value, dict)
    named = node.value.get("schema")
    if named is None or named.value == SCHEMA or not isinstance(named.value, str):
        return node, []
    migration = _migration(named)
    told = []
    for old, key in migration.renames.items():
        changed = _renamed(node, old.split("."), key)
        if changed is not None:
            node = changed
            told.append(f"{old} is {_new_path(old, key)} now")
    assert isinstance(node.value, dict)
    node = Node({**node.value, "schema": Node(migration.to, named.origin)}, node.origin)
    changes = ", ".join(told) or "nothing in it changed its name"
    return node, [
        f"{source} is written in {named.value} and was read as {migration.to}: {changes}; "
        f"bring the file up with: codex config migrate {source} --write"
    ]


def migrate(text: str, *, source: str) -> tuple[str, list[str]]:
    """The text of a file in the present version, and the changes made, none when it is in that version already.

    Raises `ConfigError` for a file without a version and for what `upgraded` refuses.
    """
    node = parse(text, source=source)
    if not isinstance(node.value, dict) or "schema" not in node.value:
        raise _unversioned(node)
    if node.value["schema"].value == SCHEMA:
        return text, []
    after, _ = upgraded(node, source=source)
    migration = _migration(node.value["schema"])
    edits = [(*_span(text, "schema", of="value"), migration.to)]
    changes = [f"schema: {node.value['schema'].value} -> {migration.to}"]
    for old, key in migration.renames.items():
        if _holds(node, old):
            edits.append((*_span(text, old, of="key"), key))
            changes.append(f"{old} -> {_new_path(old, key)}")
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    assert plain(parse(text, source=source)) == plain(after), (
        "a migrated text means what was read from the old one"
    )
    return text, changes


def with_hint(mistake: Mistake) -> Mistake:
    """A mistake about an unknown key that an older version knew, with its present name and the way there."""
    for version, migration in MIGRATIONS.items():
        if mistake.code == "CFG-004" and mistake.path in migration.renames:
            new = _new_path(mistake.path, migration.renames[mistake.path])
            return attrs.evolve(
                mistake,
                why=f"{version} had it; since {migration.to} it is {new}",
                fix=f"rename it, or write `schema: {version}` into the file, then: codex config migrate FILE --write",
            )
    return mistake


def _migration(named: Node) -> Migration:
    if named.value in MIGRATIONS:
        return MIGRATIONS[str(named.value)]
    known = ", ".join([*MIGRATIONS, SCHEMA])
    raise ConfigError(
        code="CFG-014",
        what=f"the configuration is of version {named.value!r:.60}, which this Codex does not read",
        where=f"{named.origin}, schema",
        why=f"it reads {known}; a newer version is written by a newer Codex",
        fix=f"upgrade codex-core, or write `schema: {SCHEMA}` if that is what the file holds",
    )


def _unversioned(node: Node) -> ConfigError:
    old = [
        (path, version) for version, held in MIGRATIONS.items() for path in held.renames if _holds(node, path)
    ]
    why = (
        f"it holds {old[0][0]}, a key of {old[0][1]}"
        if old
        else "only a file that says its version can be migrated"
    )
    return ConfigError(
        code="CFG-014",
        what="the configuration does not say its version",
        where=f"{node.origin}, schema",
        why=why,
        fix=f"write `schema: {old[0][1] if old else SCHEMA}` as its first line",
    )


def _new_path(old: str, key: str) -> str:
    return f"{old.rpartition('.')[0]}.{key}"


def _holds(node: Node, path: str) -> bool:
    for step in path.split("."):
        if not isinstance(node.value, dict) or step not in node.value:
            return False
        node = node.value[step]
    return True


def _renamed(node: Node, steps: list[str], key: str) -> Node | None:
    """A copy with the key at `steps` renamed in its place; None when it is not there."""
    if not isinstance(node.value, dict) or steps[0] not in node.value:
        return None
    if len(steps) > 1:
        below = _renamed(node.value[steps[0]], steps[1:], key)
        return None if below is None else attrs.evolve(node, value={**node.value, steps[0]: below})
    if key in node.value:
        raise ConfigError(
            code="CFG-014",
            what=f"the configuration holds {steps[0]!r} and {key!r}, the old and the new name of one key",
            where=node.value[steps[0]].origin,
            why=f"{key!r} stands at {node.value[key].origin}",
            fix="keep one of the two",
        )
    return attrs.evolve(
        node, value={key if name == steps[0] else name: item for name, item in node.value.items()}
    )


def _span(text: str, path: str, *, of: str) -> tuple[int, int]:
    """Where the key or the value of a path stands in the text, as characters from and to."""
    held: Any = YAML(typ="rt", pure=True).compose(text)
    *parents, last = path.split(".")
    for step in parents:
        held = next(value for key, value in _pairs(held) if key.value == step)
    key, value = next((key, value) for key, value in _pairs(held) if key.value == last)
    found = key if of == "key" else value
    return found.start_mark.index, found.end_mark.index


def _pairs(held: Any) -> Iterator[tuple[Any, Any]]:
    yield from held.value
