"""The options by which commands name a file of rows and how to read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from codex_core.cli.session import Session
from codex_core.contracts import Dataset
from codex_core.data.forms import FORMS
from codex_core.data.readers import open_reader
from codex_core.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--format",
        "form",
        type=click.Choice(FORMS),
        default="text",
        show_default=True,
        help="What a row is.",
    ),
    click.option(
        "--reader", metavar="NAME", help="Dataset that reads it; by default the name of FILE decides."
    ),
    click.option(
        "--field",
        "fields",
        metavar="FIELD=NAME",
        multiple=True,
        help="Name of a field in the rows, e.g. prompt=question; can be repeated.",
    ),
    click.option("--group", metavar="FIELD", help="Field whose value keeps rows together in one split."),
)


def reading(command: F) -> F:
    """Give a command the options `--format`, `--reader`, `--field` and `--group`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_rows(
    session: Session,
    path: Path,
    *,
    form: str,
    reader: str | None = None,
    fields: tuple[str, ...] = (),
    group: str | None = None,
    on_error: str = "fail",
) -> Dataset:
    """The dataset that these options describe, over `path`; `on_error` goes to readers that can skip rows."""
    given = {"form": None if form == "text" else form, "fields": mapped(fields), "group": group}
    skipping = {} if on_error == "fail" else {"on_error": on_error}
    return open_reader(path, registry=session.registry, reader=reader, options=given, where_possible=skipping)


def mapped(fields: tuple[str, ...]) -> Mapping[str, str]:
    """`("prompt=question",)` as a mapping; raises `UsageError` for anything without an equals sign.

    >>> mapped(("prompt=question", "completion=answer"))
    {'prompt': 'question', 'completion': 'answer'}
    """
    pairs = [field.partition("=") for field in fields]
    if wrong := next((name for name, equals, value in pairs if not (name and equals and value)), None):
        raise UsageError(
            code="DAT-022",
            what=f"--field expects FIELD=NAME, found {wrong!r}",
            fix="--field prompt=question",
        )
    return {name: value for name, _, value in pairs}
