"""`codex checkpoint diff`: whether two checkpoints are equal to the bit, and where they are not."""

from __future__ import annotations

from typing import Any

import attrs
import click

from codex_core.checkpoints import Checkpoint
from codex_core.cli.models import find_checkpoint
from codex_core.cli.output import print_json, table
from codex_core.cli.session import Session
from codex_core.cli.tensor_difference import TensorDifference, compare_files
from codex_core.errors import ExitCode
from codex_core.running.resuming import flat

_MOST_SHOWN = 20
_TENSORS = ".safetensors"


@attrs.frozen(kw_only=True)
class Difference:
    """What differs: tensors, other files by name, and fields of the state as (first, second)."""

    num_tensors: int
    tensors: list[TensorDifference]
    files: list[str]
    state: dict[str, tuple[Any, Any]]

    @property
    def is_empty(self) -> bool:
        """Whether the checkpoints are equal."""
        return not (self.tensors or self.files or self.state)


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def diff(session: Session, first: str, second: str, as_json: bool) -> int:
    """Compare two checkpoints bit by bit: tensors, other files, and the state field by field.

    \b
    Examples:
      codex checkpoint diff @last runs/RUN/checkpoints/step-00000040

    Exit 0: equal; 1: different. Where they were saved, and when, does not count.
    """
    one, other = (find_checkpoint(session, reference) for reference in (first, second))
    found = compare(one, other)
    if as_json:
        print_json("codex-checkpoint-diff/1", _as_values(one, other, found))
    else:
        _print(one, other, found)
    return int(ExitCode.OK if found.is_empty else ExitCode.NO)


def compare(one: Checkpoint, other: Checkpoint) -> Difference:
    """How two verified checkpoints differ in what a training or a model would read from them."""
    listed = [{file["path"]: file["digest"] for file in held.manifest["files"]} for held in (one, other)]
    differing = sorted(
        name
        for name in listed[0].keys() | listed[1].keys()
        if listed[0].get(name) != listed[1].get(name) and name != "state.json"
    )
    tensors: list[TensorDifference] = []
    files = [name for name in differing if not name.endswith(_TENSORS)]
    num_tensors = 0
    for name in sorted(name for name in listed[0].keys() | listed[1].keys() if name.endswith(_TENSORS)):
        if name not in listed[0] or name not in listed[1]:
            files.append(name)
            continue
        num, found = compare_files(name, one.path / name, other.path / name)
        num_tensors, tensors = num_tensors + num, tensors + found
    states = [_state(held) for held in (one, other)]
    paths = sorted(states[0].keys() | states[1].keys())
    state = {path: (states[0].get(path), states[1].get(path)) for path in paths}
    return Difference(
        num_tensors=num_tensors,
        tensors=tensors,
        files=sorted(files),
        state={path: pair for path, pair in state.items() if pair[0] != pair[1]},
    )


def _state(held: Checkpoint) -> dict[str, Any]:
    counted = {name: held.manifest.get(name) for name in ("step", "position", "tokens")}
    return flat({**counted, "state": dict(held.state)})


def _by_size(found: Difference) -> list[TensorDifference]:
    return sorted(found.tensors, key=lambda one: -(one.largest if one.largest is not None else float("inf")))


def _print(one: Checkpoint, other: Checkpoint, found: Difference) -> None:
    if found.is_empty:
        click.echo(f"equal: {found.num_tensors} tensors, every other file, and the state")
        return
    click.echo(f"different: {one.path} and {other.path}")
    if found.tensors:
        click.echo(f"{len(found.tensors)} of {found.num_tensors} tensors differ, the most different first:")
        rows = [
            [held.file, held.name, held.why, _share(held), held.largest]
            for held in _by_size(found)[:_MOST_SHOWN]
        ]
        click.echo(table(["file", "tensor", "what", "values", "largest"], rows))
        if len(found.tensors) > _MOST_SHOWN:
            click.echo(f"and {len(found.tensors) - _MOST_SHOWN} more; --json lists all")
    for name in found.files:
        click.echo(f"file {name} differs")
    for path, (before, after) in found.state.items():
        click.echo(f"{path}: {before!r} and {after!r}")


def _share(held: TensorDifference) -> str | None:
    return None if held.num_different is None else f"{held.num_different:,} of {held.num_values:,}"


def _as_values(one: Checkpoint, other: Checkpoint, found: Difference) -> dict[str, Any]:
    return {
        "a": {"path": str(one.path), "step": one.step, "digest": one.digest},
        "b": {"path": str(other.path), "step": other.step, "digest": other.digest},
        "equal": found.is_empty,
        "num_tensors": found.num_tensors,
        "tensors": [attrs.asdict(held) for held in _by_size(found)],
        "files": found.files,
        "state": {path: list(pair) for path, pair in found.state.items()},
    }
