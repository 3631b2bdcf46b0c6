"""Files that decide numbers and are no data: weights to begin with, a saved tokenizer. Their digests stand in the lock.

Decisions: which options name such files, they say themselves (`unit="path"` in the sections below); of a folder
that holds a model in `model/` only that part counts; hidden files and Markdown decide nothing, and weights decide
nothing of a tokenizer that lies beside them; a lock holds paths as they were written, relative ones are looked for
in the working directory and then in the project.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codex_core.canonical import digest_of, file_digest
from codex_core.catalogue import candidates
from codex_core.errors import ArtefactError, InputError
from codex_core.places import find_places
from codex_core.planning.references import resolved

if TYPE_CHECKING:
    from codex_core.lock import Lock, Plan
    from codex_core.registry import Registry

#: What lies beside a tokenizer in the directory of a model and decides no id.
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")

#: Sections whose files decide numbers beside the prepared data, and the kinds that stand there.
SECTIONS = {"tokenizer": "tokenizers", "model": "models", "trainer": "trainers"}


@attrs.frozen
class Asset:
    """A file or folder by the option that names it: its digest, and those of its files by relative name."""

    path: str
    digest: str
    files: Mapping[str, str]


def found(plan: Plan, registry: Registry) -> dict[str, dict[str, Any]]:
    """The assets of a plan by option (`model.weights`), as a lock holds them; raises `InputError` for absent ones."""
    held: dict[str, dict[str, Any]] = {}
    for section, kind in SECTIONS.items():
        choice = plan.choices.get(section)
        if choice is None or choice.id is None:
            continue
        cls = registry.options_class(registry.find(kind, choice.id, usable=False))
        for name in path_options(cls):
            written = choice.options.get(name)
            if isinstance(written, str):
                option = f"{section}.{name}"
                place = place_of(written, environ=plan.environ, roots=[plan.base_path], option=option)
                held[option] = attrs.asdict(digested(place, written=written, option=option))
    return held


def path_options(options: type | None) -> list[str]:
    """The names of an options class that name files or folders."""
    fields = attrs.fields(options) if options is not None and attrs.has(options) else ()
    return [field.name for field in fields if field.metadata.get("unit") == "path"]


def digested(place: Path, *, written: str, option: str) -> Asset:
    """The digests of a file or folder; raises `InputError` when it is not there."""
    try:
        files = {
            name: file_digest(path, "blake3")
            for name, path in _files(place)
            if not (option.startswith("tokenizer.") and path.suffix in _WEIGHTS)
        }
    except OSError as error:
        raise _absent(place, option, why=error.strerror or str(error)) from error
    if not files:
        raise _absent(place, option, why="there is no such file or folder, or nothing in it")
    return Asset(written, digest_of(files), files)


def require_same(lock: Lock, *, environ: Mapping[str, str], roots: Sequence[Path]) -> None:
    """Compare the assets of a lock with what is there now.

    Raises `InputError` when one is not there and `ArtefactError` naming both digests and the first file that
    differs when it has changed.
    """
    for option, held in lock.data.get("assets", {}).items():
        place = place_of(held["path"], environ=environ, roots=roots, option=option)
        now = digested(place, written=held["path"], option=option)
        if now.digest != held["digest"]:
            raise _changed(place, option, held, now)


def place_of(written: str, *, environ: Mapping[str, str], roots: Sequence[Path], option: str) -> Path:
    """Where a written path leads: the first of `roots` under which it exists, else the first of them.

    A tokenizer may also be named as a catalogue knows it.
    """
    path = Path(resolved(written, environ, where=option))
    places = [root / path for root in roots] or [path]
    if option == "tokenizer.path":
        places += [
            place
            for root in roots
            for place, _ in candidates(
                str(path), base=root, places=find_places(root, environ), environ=environ
            )
        ]
    return next((place for place in places if place.exists()), places[0])


def _files(place: Path) -> Iterator[tuple[str, Path]]:
    if place.is_file():
        yield place.name, place
        return
    root = place / "model" if (place / "model").is_dir() else place
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        is_hidden = any(part.startswith(".") for part in name.split("/"))
        if path.is_file() and not is_hidden and path.suffix.lower() != ".md":
            yield name, path


def _absent(place: Path, option: str, *, why: str) -> InputError:
    return InputError(
        code="PLN-007",
        what=f"{option} names something that is not there",
        where=str(place),
        why=why,
        fix=f"put it there, or name another place: {option}=PATH",
    )


def _changed(place: Path, option: str, held: Mapping[str, Any], now: Asset) -> ArtefactError:
    before = held["files"]
    names = sorted({*before, *now.files})
    first = next(name for name in names if before.get(name) != now.files.get(name))
    return ArtefactError(
        code="PLN-008",
        what=f"{option} is not what the run was started with",
        where=str(place),
        why=f"the lock names {held['digest']}, this is {now.digest}; "
        f"{first}: {before.get(first, 'absent')} then, {now.files.get(first, 'absent')} now",
        fix="restore the files from a copy, or start a new run",
    )
