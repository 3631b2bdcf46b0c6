"""The recipe of a tokenizer: what it is learned from, how, and where it goes.

Decisions: file names are patterns relative to the recipe's folder and stand in the order of their names; what is
saved of a recipe holds relative paths alone, so that folder, corpus and tokenizer can move together; a recipe may
also be read back from the manifest of the tokenizer that it made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from codex_core.errors import InputError, UsageError
from codex_core.settings import Settings, load_settings, plain_values
from codex_tokenizers.options import RecipeOptions


@attrs.frozen(kw_only=True)
class Recipe:
    """A recipe with its component at hand: canonical id, class, options; `base` is where its paths start."""

    base: Path
    out: Path
    patterns: tuple[str, ...]
    field: str
    seed: int
    id: str
    target: Any
    options: Any
    written: Mapping[str, Any]

    @property
    def described(self) -> dict[str, Any]:
        """The recipe as its manifest holds it: canonical id, every option, paths as they were written."""
        return {
            "corpus": list(self.patterns),
            "field": self.field,
            "seed": self.seed,
            "tokenizer": {"name": self.id, **self.written},
        }

    def files(self) -> list[Path]:
        """The files that the patterns name, each once, in the order of their relative names."""
        found = {path for pattern in self.patterns for path in self._matching(pattern)}
        return sorted(found, key=self.relative)

    def _matching(self, pattern: str) -> Iterator[Path]:
        if not any(sign in pattern for sign in "*?["):
            yield self.base / pattern
            return
        matches = [path for path in self.base.glob(pattern) if path.is_file()]
        if not matches:
            raise InputError(
                code="TOK-019",
                what=f"no file matches {pattern!r}",
                where=str(self.base),
                fix="correct the pattern under `corpus`, or bring the files",
            )
        yield from matches

    def relative(self, path: Path) -> str:
        """A file's name as manifests hold it."""
        return Path(os.path.relpath(path, self.base)).as_posix()


def read(path: Path, overrides: Sequence[str], registry: Any) -> Recipe:
    """The recipe in a YAML file; raises with every mistake and its place."""
    settings = load_settings(path, overrides)
    return _recipe(settings, settings.build(RecipeOptions), base=path.absolute().parent, registry=registry)


def from_manifest(manifest: Mapping[str, Any], folder: Path, registry: Any) -> Recipe:
    """The recipe by which the tokenizer in `folder` was learned."""
    said = manifest["recipe"]
    base = Path(os.path.normpath(folder.absolute() / manifest["base"]))
    values = {**said, "out": os.path.relpath(folder.absolute(), base)}
    settings = Settings(values=values, origins={}, source=str(folder / "manifest.json"))
    return _recipe(settings, settings.build(RecipeOptions), base=base, registry=registry)


def _recipe(settings: Settings, said: RecipeOptions, *, base: Path, registry: Any) -> Recipe:
    given = dict(said.tokenizer) if isinstance(said.tokenizer, dict) else {"name": said.tokenizer}
    name = given.pop("name", None)
    if not isinstance(name, str) or not said.corpus:
        what = "names no kind of tokenizer" if said.corpus else "names no files to learn from"
        raise UsageError(
            code="TOK-018",
            what=f"the recipe {what}",
            where=settings.source,
            fix="tokenizer: {name: bpe, vocab_size: 8000}" if said.corpus else "corpus: [texts/*.txt]",
        )
    row = registry.find("tokenizers", name, usable=True)
    cls = registry.options_class(row)
    options = settings.build(cls, given, path="tokenizer") if cls is not None else None
    return Recipe(
        base=base,
        out=base / said.out,
        patterns=said.corpus,
        field=said.field,
        seed=said.seed,
        id=row.id,
        target=registry.load(row),
        options=_placed(options, base),
        written=plain_values(options) if options is not None else {},
    )


def _placed(options: Any, base: Path) -> Any:
    """Options whose files are found from the recipe's folder."""
    changed = {}
    for one in attrs.fields(type(options)) if options is not None else ():
        value = getattr(options, one.name)
        unit = one.metadata.get("unit")
        if isinstance(value, str) and (
            unit == "path" or (unit == "path or name" and (base / value).is_file())
        ):
            changed[one.name] = os.path.relpath(base / value)
    return attrs.evolve(options, **changed) if changed else options
