"""The set of plugins as a lock or a file keeps it: written down, compared, and verified in another process.

Decisions: a frozen set names what can be used (distribution, version, module, API, a digest per component) and
never what was measured; comparing needs nothing but the two sets; verifying reads the metadata and looks for the
modules of the named plugins only. It imports no plugin, starts no probe and finds nothing that was not frozen.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from codex_core import CODEX_API, __version__
from codex_core.canonical import digest_of, readable_json
from codex_core.errors import InputError, MissingDependency
from codex_core.lock import LOCK_FORMAT
from codex_core.plugins import discovery, index
from codex_core.plugins.locate import find_module

FORMAT = "codex-freeze/1"

#: One plugin of a frozen set.
Plugin = Mapping[str, Any]
_ABOUT = ("dist", "version", "entry_point", "module", "api")


class Change(NamedTuple):
    """How a plugin differs: `what` is `lost`, `new` or `changed`; components are `kind/name`, lost, new or altered."""

    plugin: str
    dist: str
    what: str
    before: str | None
    after: str | None
    lost: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    details: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Everything within the plugin that differs."""
        return (*self.lost, *self.new, *self.altered, *self.details)


def freeze(facts: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The frozen set of these facts; plugins that cannot be used are left out."""
    return tuple(
        {
            **{name: fact[name] for name in _ABOUT},
            "components": {f"{one['kind']}/{one['name']}": digest_of(one) for one in fact["components"]},
            "events": list(fact["events"]),
        }
        for fact in facts
        if fact["problem"] is None
    )


def document(frozen: Sequence[Plugin]) -> str:
    """A frozen set as a file: equal sets give equal bytes."""
    about = {"schema": FORMAT, "core": __version__, "api": list(CODEX_API)}
    return readable_json({**about, "plugins": list(frozen)})


def parse(text: str, *, where: str) -> tuple[Plugin, ...]:
    """The frozen set in a freeze file or in a lock; raises `InputError` for anything else."""
    try:
        values = json.loads(text)
        if FORMAT != values.get("schema") and LOCK_FORMAT != values.get("format"):
            raise ValueError(f"it is neither {FORMAT} nor {LOCK_FORMAT}")
        plugins = tuple(values["plugins"])
        if not all(isinstance(one, dict) and isinstance(one.get("dist"), str) for one in plugins):
            raise ValueError("`plugins` is not a list of plugins")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            code="REG-018",
            what="this is no frozen set of plugins",
            where=where,
            why=f"missing {error}" if isinstance(error, KeyError) else str(error),
            fix="codex registry freeze -o FILE",
        ) from error
    return plugins


def compare(old: Sequence[Plugin], new: Sequence[Plugin]) -> tuple[Change, ...]:
    """What differs between two frozen sets, by plugin."""
    before, after = _by_name(old), _by_name(new)
    changes = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None:
            assert now is not None
            changes.append(Change(name, now["dist"], "new", None, now.get("version"), new=_components(now)))
        elif now is None:
            changes.append(Change(name, was["dist"], "lost", was.get("version"), None, lost=_components(was)))
        elif was != now:
            changes.append(_changed(name, was, now))
    return tuple(changes)


def offering(frozen: Sequence[Plugin], ids: Iterable[str]) -> tuple[Plugin, ...]:
    """The plugins of the distributions that these canonical ids name."""
    dists = {id.partition("/")[0] for id in ids}
    return tuple(one for one in frozen if one["dist"] in dists)


def imported(frozen: Sequence[Plugin], ids: Iterable[str]) -> tuple[Plugin, ...]:
    """The plugins that a run of these components imports: those that offer them, and those that hear its events."""
    wanted = {_name(one) for one in offering(frozen, ids)}
    return tuple(one for one in frozen if one.get("events") or _name(one) in wanted)


def verify_frozen(frozen: Sequence[Plugin], *, search: Sequence[str] | None = None) -> None:
    """Check that every plugin of a frozen set is installed here as it was frozen; for workers and for resumes.

    Raises `MissingDependency` that names what is missing (REG-016) or is another version (REG-017), all of it.
    `search` is the path to look at, by default the one of this process.
    """
    places = index.search_path() if search is None else list(search)
    errors = [error for plugin in frozen if (error := _absence(plugin, places)) is not None]
    if not errors:
        return
    first, *others = errors
    raise MissingDependency(
        code=first.code, what=first.what, where=first.where, why=first.why, fix=first.fix, related=others
    )


def missing(frozen: Sequence[Plugin], present: Collection[str]) -> MissingDependency | None:
    """The error for plugins of a frozen set whose distributions are not among the present ones; None without any."""
    errors = [_missing(plugin, "it is not installed") for plugin in frozen if plugin["dist"] not in present]
    if not errors:
        return None
    first, *others = errors
    return MissingDependency(
        code=first.code, what=first.what, where=first.where, why=first.why, fix=first.fix, related=others
    )


def _absence(plugin: Plugin, search: list[str]) -> MissingDependency | None:
    installed = discovery.find_distribution(plugin["dist"], search)
    if installed is None:
        return _missing(plugin, "its metadata is not on the search path")
    wanted = plugin.get("version")
    if installed["version"] != wanted:
        return MissingDependency(
            code="REG-017",
            what=f"the plugin {_name(plugin)} is {installed['version']}, frozen was {wanted}",
            where=f"distribution {plugin['dist']}",
            fix=f"pip install '{plugin['dist']}=={wanted}'",
        )
    module = plugin.get("module")
    if module and find_module(module, search) is None:
        return _missing(plugin, f"its module {module} does not exist")
    return None


def _missing(plugin: Plugin, why: str) -> MissingDependency:
    version = plugin.get("version")
    wanted = plugin["dist"] if version is None else f"{plugin['dist']}=={version}"
    offered = _components(plugin)
    return MissingDependency(
        code="REG-016",
        what=f"the plugin {_name(plugin)} {version or ''} is missing".replace("  ", " "),
        where=f"distribution {plugin['dist']}",
        why=f"{why}; it offered {', '.join(offered)}" if offered else why,
        fix=f"pip install '{wanted}'",
    )


def _changed(name: str, was: Plugin, now: Plugin) -> Change:
    old, new = was.get("components"), now.get("components")
    lost: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lost = tuple(sorted(old.keys() - new.keys()))
        added = tuple(sorted(new.keys() - old.keys()))
        changed = tuple(sorted(one for one in old.keys() & new.keys() if old[one] != new[one]))
    details = [
        f"{field}: {was.get(field)} -> {now.get(field)}"
        for field in ("module", "api", "events")
        if was.get(field) != now.get(field)
    ]
    versions = (was.get("version"), now.get("version"))
    return Change(name, now["dist"], "changed", *versions, lost, added, changed, tuple(details))


def _by_name(frozen: Sequence[Plugin]) -> dict[str, Plugin]:
    return {_name(one): one for one in frozen}


def _name(plugin: Plugin) -> str:
    entry_point = plugin.get("entry_point")
    return f"{plugin['dist']}/{entry_point}" if entry_point else str(plugin["dist"])


def _components(plugin: Plugin) -> tuple[str, ...]:
    held = plugin.get("components")
    return tuple(sorted(held)) if isinstance(held, Mapping) else ()
