"""The record by which a plugin describes one component, and the kinds that exist.

Decisions: a description holds names only (no objects, no classes), so describing loads nothing; the kind comes
from the hook that returned the record; a plain slotted class keeps the import of plugin modules cheap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

#: Kinds of components, in the order in which listings show them.
KINDS = (
    "tokenizers",
    "models",
    "datasets",
    "metrics",
    "writers",
    "safety_policies",
    "trainers",
    "commands",
)

#: The pluggy hook that offers components of a kind.
KIND_HOOKS = {kind: f"codex_{kind}" for kind in KINDS}

#: Events that a plugin may listen to; each hook takes one frozen argument named `ctx`.
EVENT_HOOKS = ("codex_run_started", "codex_checkpoint_saved", "codex_run_finished")

#: A component name: what a configuration writes.
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

#: `package.module:attribute`, the attribute possibly dotted.
TARGET_PATTERN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

MAX_COMPONENTS_PER_PLUGIN = 1000
MAX_TEXT_CHARACTERS = 300


class Component:
    """One thing that a distribution offers: a tokenizer, a model, a trainer, ...

    `name` is what configurations write, `target` where it is (`package.module:attribute`), `options` the attrs
    class of its options (`package.module:Class`, torch-free), `requires` the import names it cannot work without,
    `capabilities` what it declares to its conformance suite, `runtime` (`torch`, `ngram`, ...) what model and
    trainer must share, `estimate` a torch-free function `(options, lock) -> Memory`, `overrides` the built-in
    name it wants to replace, `deprecated` one sentence on what to use instead.

    Records are frozen and compare by value. Shape mistakes raise `ValueError` where they are made.

    >>> Component("bpe", target="codex_tokenizers.bpe:BPE", summary="byte-level BPE").name
    'bpe'
    """

    __slots__ = (
        "capabilities",
        "deprecated",
        "estimate",
        "name",
        "options",
        "overrides",
        "requires",
        "runtime",
        "summary",
        "target",
    )

    name: str
    target: str
    summary: str
    options: str | None
    requires: tuple[str, ...]
    capabilities: frozenset[str]
    runtime: str | None
    estimate: str | None
    overrides: str | None
    deprecated: str | None

    def __init__(
        self,
        name: str,
        *,
        target: str,
        summary: str,
        options: str | None = None,
        requires: Iterable[str] = (),
        capabilities: Iterable[str] = frozenset(),
        runtime: str | None = None,
        estimate: str | None = None,
        overrides: str | None = None,
        deprecated: str | None = None,
    ) -> None:
        store = object.__setattr__
        store(self, "name", _checked(name, NAME_PATTERN, "name"))
        store(self, "target", _checked(target, TARGET_PATTERN, "target"))
        store(self, "summary", _short(summary, "summary"))
        store(self, "options", options and _checked(options, TARGET_PATTERN, "options"))
        store(self, "requires", tuple(_words(requires, "requires")))
        store(self, "capabilities", frozenset(_words(capabilities, "capabilities")))
        store(self, "runtime", runtime)
        store(self, "estimate", estimate and _checked(estimate, TARGET_PATTERN, "estimate"))
        store(self, "overrides", overrides)
        store(self, "deprecated", deprecated and _short(deprecated, "deprecated"))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Component is frozen; cannot set {name!r}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values in a stable order, for the index and for `--json`."""
        shown: dict[str, Any] = {slot: getattr(self, slot) for slot in sorted(self.__slots__)}
        shown["capabilities"] = sorted(self.capabilities)
        shown["requires"] = list(self.requires)
        return shown

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Component) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((self.name, self.target))

    def __repr__(self) -> str:
        return f"Component({self.name!r}, target={self.target!r})"


def canonical_id(dist: str, name: str) -> str:
    """`dist/name`, what saved configurations, locks and checkpoints hold; `dist` in its PEP 503 spelling.

    >>> canonical_id("Codex_Models", "decoder")
    'codex-models/decoder'
    """
    return f"{normalised_dist(dist)}/{name}"


def normalised_dist(dist: str) -> str:
    """A distribution name in its PEP 503 spelling.

    >>> normalised_dist("Adv.Odd_Name--Dist")
    'adv-odd-name-dist'
    """
    return re.sub(r"[-_.]+", "-", dist).lower()


def _checked(value: object, pattern: re.Pattern[str], field: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"Component {field} {value!r} does not match {pattern.pattern}")
    return value


def _short(value: object, field: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
        raise ValueError(f"Component {field} must be text of at most {MAX_TEXT_CHARACTERS} characters")
    return value


def _words(values: Iterable[str], field: str) -> list[str]:
    if isinstance(values, str):
        raise ValueError(
            f"Component {field} must be a collection of names, not one string; write ({values!r},)"
        )
    words = list(values)
    if not all(isinstance(word, str) and len(word) <= MAX_TEXT_CHARACTERS for word in words):
        raise ValueError(f"Component {field} must hold short strings")
    return words
