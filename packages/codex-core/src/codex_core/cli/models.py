"""A reference to a trained model, opened: what `evaluate`, `generate` and `demo` share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import click

from codex_core import checkpoints, runs
from codex_core.cli import model_directories
from codex_core.cli.output import say
from codex_core.cli.session import Session
from codex_core.contracts import LanguageModel, Tokenizer
from codex_core.errors import InputError, UsageError
from codex_core.events import CheckpointRejected, Event


@attrs.frozen(kw_only=True)
class OpenedModel:
    """A verified checkpoint with its model and tokenizer; `manifest` tells where it comes from."""

    path: Path
    manifest: Mapping[str, Any]
    model: LanguageModel
    tokenizer: Tokenizer


def find_checkpoint(session: Session, reference: str) -> checkpoints.Checkpoint:
    """The verified checkpoint that a reference means: the path of a checkpoint or run, a run's id or name, `@last`.

    A Hugging Face directory is taken as one, too.

    One that was named must verify; of a run the newest that verifies is taken, and others passed over are told.
    """
    path = Path(reference)
    if not path.exists():
        path = runs.find(reference, session.places).path
    if model_directories.is_directory(path):
        return model_directories.as_checkpoint(path)
    if path.is_dir():
        model_directories.require_some_model(path)
    return checkpoints.find(path, emit=_tell)


#: `--base`, for commands that open a model.
BASE = click.option(
    "--base",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the base of an adapter is, when it is not where it was.",
)


def open_model(
    session: Session,
    reference: str,
    *,
    device: str = "cpu",
    dtype: str | None = None,
    base: Path | None = None,
) -> OpenedModel:
    """Open model and tokenizer of the checkpoint that a reference means; an adapter's base may be named.

    Raises `UsageError` for a base that the model has no use for.
    """
    found = find_checkpoint(session, reference)
    components = found.manifest["components"]
    row = session.registry.find("models", components["model"]["id"])
    if base is not None and "adapter" not in row.capabilities:
        raise UsageError(
            code="MOD-035",
            what="--base was given, and the model is no adapter over a base",
            where=str(found.path),
            why=f"{row.id} does not declare the capability 'adapter'",
            fix="leave --base out",
        )
    model, given = session.registry.load(row), {} if base is None else {"base": base}
    is_foreign = found.manifest["format"] == model_directories.FORMAT
    place = found.path if is_foreign else found.path / "model"
    opened = OpenedModel(
        path=found.path,
        manifest=found.manifest,
        tokenizer=_tokenizer(session, found),
        model=model.open(place, device=device, dtype=dtype, **given),
    )
    placement = getattr(opened.model, "placement", None)
    if placement is not None and session.flags.verbosity >= 0:
        say(f"computing on {placement}")
    return opened


def _tokenizer(session: Session, found: checkpoints.Checkpoint) -> Tokenizer:
    if found.manifest["format"] == model_directories.FORMAT:
        return model_directories.load_tokenizer(session, found.path)
    name = found.manifest["components"]["tokenizer"]["id"]
    if name is None:
        raise InputError(
            code="MOD-018",
            what="this model has no tokenizer",
            where=str(found.path),
            why="it was imported from a directory without one",
            fix="import it again from a directory that has one: codex model check DIR",
        )
    tokenizer: Tokenizer = session.registry.load(session.registry.find("tokenizers", name)).load(
        found.path / "tokenizer"
    )
    return tokenizer


def _tell(event: Event) -> None:
    if isinstance(event, CheckpointRejected):
        say(f"warning: passed over {event.path}: {event.reason}")
