"""Rows as a model will see them: rendered, encoded, and which of it is learned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from codex_core.contracts import Dataset, Tokenizer
from codex_core.data.components import Components
from codex_core.data.sources import checked
from codex_core.errors import ArtefactError, CodexError, InputError, UsageError
from codex_core.planning.structuring import options_from
from codex_core.records import Encoded
from codex_core.rendering import loss_spans


@attrs.frozen(kw_only=True)
class Preview:
    """One rendered row."""

    id: str
    encoded: Encoded

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Half-open code points of the rendered text that is supervised."""
        return loss_spans(self.encoded)

    @property
    def num_supervised(self) -> int:
        """Supervised tokens, those without text included."""
        return sum(self.encoded.loss_mask)

    def as_dict(self) -> dict[str, Any]:
        """The row as plain values."""
        return {
            "id": self.id,
            "rendered": self.encoded.text,
            "token_ids": list(self.encoded.ids),
            "loss_spans": [list(span) for span in self.spans],
            "loss_tokens": self.num_supervised,
        }

    def marked(self, begin: str = "[", end: str = "]") -> str:
        """The rendered text with what is supervised between two marks; characters that are not printable are spelt.

        >>> encoded = Encoded(text="ab", ids=(1, 2), loss_mask=(False, True), offsets=((0, 1), (1, 2)))
        >>> Preview(id="row", encoded=encoded).marked()
        'a[b]'
        """
        text, shown, last = self.encoded.text, "", 0
        for start, stop in self.spans:
            shown += _printable(text[last:start]) + begin + _printable(text[start:stop]) + end
            last = stop
        return shown + _printable(text[last:])


def preview(dataset: Dataset, tokenizer: Tokenizer, *, template: str | None, most: int) -> Iterator[Preview]:
    """The first `most` rows, rendered; raises `InputError` for the first that is unreadable."""
    for number, record in enumerate(dataset.records()):
        if number == most:
            return
        asked = template_to_ask(tokenizer, template)
        yield Preview(id=record.id, encoded=tokenizer.render(checked(record), asked))


def open_tokenizer(name: str, *, template: str | None = None, registry: Any) -> Tokenizer:
    """The tokenizer that was saved at `name`, or the component of that name if it has nothing to learn.

    A tokenizer that can be taken with another template (`take(options)`) is taken with `template`; any other is
    asked for it when it renders, and refuses it.
    """
    path = Path(name)
    if path.exists():
        return _saved(path, template, registry)
    row = registry.find("tokenizers", name, usable=True)
    return _untrained(name, row, registry)


def template_to_ask(tokenizer: Tokenizer, template: str | None) -> str | None:
    """The template that `render` is to be asked for: none where the tokenizer was taken with it."""
    return None if hasattr(tokenizer, "take") else template


def _untrained(name: str, row: Any, registry: Components) -> Tokenizer:
    cls = registry.options_class(row)
    options: Any = None if cls is None else options_from(cls, {}, where=f"tokenizer {name}")
    try:
        tokenizer: Tokenizer = registry.load(row).train([], options, seed=0)
    except InputError as error:
        raise UsageError(
            code="DAT-027",
            what=f"the tokenizer {name} learns from text, and a preview has none to teach it",
            why=error.what,
            fix="name the folder that a trained tokenizer was saved to, or the tokenizer bytes",
        ) from error
    return tokenizer


def _saved(path: Path, template: str | None, registry: Any) -> Tokenizer:
    """What the first tokenizer that knows the folder or file makes of it; a prepared `artefact` is looked into."""
    inner = path / "artefact"
    place = inner if inner.is_dir() else path
    tried = []
    for row in registry.of_kind("tokenizers"):
        if not row.usable:
            continue
        target = registry.load(row)
        try:
            tokenizer: Tokenizer = _opened(target, place, row, registry)
        except CodexError as error:
            tried.append(f"{row.name}: {error.what}")
            continue
        if template is not None and hasattr(target, "take"):
            tokenizer = target.take(_options(row, registry, path=str(place), template=template))
        return tokenizer
    raise ArtefactError(
        code="DAT-028",
        what="no installed tokenizer can load this",
        where=str(path),
        why="; ".join(tried) or "no tokenizer is installed",
        fix="name the folder that `save` wrote, or install the package of its tokenizer",
    )


def _opened(target: Any, place: Path, row: Any, registry: Components) -> Any:
    """What `save` wrote, or what the class takes that others wrote."""
    try:
        return target.load(place)
    except ArtefactError:
        if not hasattr(target, "take"):
            raise
        return target.take(_options(row, registry, path=str(place)))


def _options(row: Any, registry: Components, **values: Any) -> Any:
    cls = registry.options_class(row)
    assert cls is not None, "a class with `take` has options"
    return options_from(cls, values, where=f"tokenizer {row.name}")


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
