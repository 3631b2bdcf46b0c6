"""A directory of model files as others publish them: what is there, what lacks, what is refused.

Decisions: only safetensors hold weights (a pickle executes whatever its author wrote into it), no code of a
directory is ever run, nothing is looked for elsewhere than in the directory itself; headers of tensor files are
read here without loading a tensor. Importing this module loads no torch.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from codex_core.errors import InputError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"

#: Sets of files, any of which makes a tokenizer.
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("tokenizer.model",))

#: What carries settings along and may be absent.
_OPTIONAL = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")

#: The longest header that a tensor file may have, as the format's own library sets it.
_MOST_HEADER_BYTES = 100_000_000


@attrs.frozen
class FileState:
    """One file of a directory: `present`, `missing`, `refused` or `absent` (and not needed), with the reason."""

    name: str
    state: str
    why: str = ""


def is_directory(folder: Path) -> bool:
    """Tell whether a folder looks like a model directory of transformers."""
    return (folder / CONFIG).is_file()


def check(folder: Path) -> list[FileState]:
    """Every file that matters, with its state; nothing but headers and small JSON files is read."""
    if not folder.is_dir():
        raise InputError(
            code="MOD-007", what="there is no such directory", where=str(folder), fix="codex model list"
        )
    rows = [_config_state(folder), *_weight_states(folder), *_tokenizer_states(folder)]
    rows += [_optional_state(folder, name) for name in _OPTIONAL]
    return rows + list(_strangers(folder))


def is_usable(rows: list[FileState]) -> bool:
    """Tell whether nothing that is needed is missing or refused; files that merely lie there do not count."""
    return not any(row.state in ("missing", "refused") and row.why != _UNUSED for row in rows)


def require(folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """The configuration and the weight files; raises `InputError` listing all that is missing or refused.

    A missing tokenizer is no matter here.
    """
    names = {name for tokenizer in TOKENIZERS for name in tokenizer}
    bad = [
        row
        for row in check(folder)
        if row.state in ("missing", "refused") and row.why != _UNUSED and row.name not in names
    ]
    if bad:
        raise InputError(
            code="MOD-007",
            what=f"this directory holds no model that can be used: {len(bad)} files are missing or refused",
            where=str(folder),
            why="; ".join(f"{row.name} {row.state}" + (f" ({row.why})" if row.why else "") for row in bad),
            fix=f"codex model check {folder}",
        )
    return config_of(folder), weight_files(folder)


def config_of(folder: Path) -> dict[str, Any]:
    """`config.json`; raises `InputError` when it is no JSON object."""
    problem, held = _json(folder / CONFIG)
    if held is None:
        raise InputError(
            code="MOD-007",
            what="the directory has no readable config.json",
            where=str(folder / CONFIG),
            why=problem,
            fix=f"codex model check {folder}",
        )
    return held


def weight_files(folder: Path) -> list[Path]:
    """The tensor files of a directory, in a fixed order."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    _, index = _json(folder / WEIGHTS_INDEX)
    names = sorted(set((index or {}).get("weight_map", {}).values()))
    return [folder / name for name in names]


def tokenizer_files(folder: Path) -> tuple[str, ...]:
    """The files of the tokenizer that is there, empty when none is."""
    for names in TOKENIZERS:
        if all((folder / name).is_file() for name in names):
            return names
    return ()


def header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: dtype, shape and place by name; raises `ValueError` when it is damaged."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(size - 8, _MOST_HEADER_BYTES):
            raise ValueError(f"{size} bytes are too few for its header")
        held = json.loads(file.read(length))
    if not isinstance(held, dict):
        raise ValueError("its header is no object")
    tensors = {name: value for name, value in held.items() if name != "__metadata__"}
    end = max((int(value["data_offsets"][1]) for value in tensors.values()), default=0)
    if 8 + length + end != size:
        raise ValueError(f"its header tells of {8 + length + end} bytes, the file has {size}")
    return tensors


_UNUSED = "lies there and is not used"


def _config_state(folder: Path) -> FileState:
    problem, held = _json(folder / CONFIG)
    if held is None:
        return FileState(CONFIG, "missing" if not (folder / CONFIG).exists() else "refused", problem)
    if held.get("auto_map"):
        return FileState(CONFIG, "refused", "auto_map asks for code of the directory, which is never run")
    if not held.get("model_type"):
        return FileState(CONFIG, "refused", "it names no model_type")
    return FileState(CONFIG, "present", str(held["model_type"]))


def _weight_states(folder: Path) -> Iterator[FileState]:
    if (folder / WEIGHTS).is_file():
        yield _tensor_state(folder, WEIGHTS)
        return
    if (folder / WEIGHTS_INDEX).is_file():
        problem, index = _json(folder / WEIGHTS_INDEX)
        mapped = (index or {}).get("weight_map")
        if not isinstance(mapped, dict) or not mapped:
            yield FileState(WEIGHTS_INDEX, "refused", problem or "it has no weight_map")
            return
        names = sorted(set(map(str, mapped.values())))
        outside = [name for name in names if Path(name).name != name]
        if outside:
            yield FileState(WEIGHTS_INDEX, "refused", f"it points out of the directory: {outside[0]}")
            return
        yield FileState(WEIGHTS_INDEX, "present", f"{len(names)} files")
        yield from (_tensor_state(folder, name, mapped) for name in names)
        return
    pickles = [path.name for path in _files(folder) if path.suffix in _PICKLES]
    why = f"{pickles[0]} is a pickle, which can execute code; ask for safetensors" if pickles else ""
    yield FileState(WEIGHTS, "missing", why)


def _tensor_state(folder: Path, name: str, mapped: Mapping[str, Any] | None = None) -> FileState:
    path = folder / name
    if not path.is_file():
        return FileState(name, "missing", "the index names it")
    try:
        tensors = header(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return FileState(name, "refused", f"it is damaged: {error}")
    lacking = [key for key, file in (mapped or {}).items() if file == name and key not in tensors]
    if lacking:
        return FileState(name, "refused", f"the index looks for {lacking[0]} in it, which is not there")
    return FileState(name, "present", f"{len(tensors)} tensors")


def _tokenizer_states(folder: Path) -> Iterator[FileState]:
    found = tokenizer_files(folder)
    if not found:
        either = " or ".join(" with ".join(names) for names in TOKENIZERS)
        yield FileState(TOKENIZERS[0][0], "missing", f"a tokenizer is {either}")
    for name in found:
        problem = _json(folder / name)[0] if name.endswith(".json") else ""
        yield FileState(name, "refused" if problem else "present", problem)


def _optional_state(folder: Path, name: str) -> FileState:
    if not (folder / name).is_file():
        return FileState(name, "absent", "not needed")
    problem, held = _json(folder / name)
    if held is None:
        return FileState(name, "refused", problem)
    if held.get("auto_map"):
        return FileState(name, "refused", "auto_map asks for code of the directory, which is never run")
    return FileState(name, "present")


def _strangers(folder: Path) -> Iterator[FileState]:
    """Code and pickles beside usable weights: told, never touched."""
    has_weights = (folder / WEIGHTS).is_file() or (folder / WEIGHTS_INDEX).is_file()
    for path in _files(folder):
        if path.suffix == ".py" or (path.suffix in _PICKLES and has_weights):
            yield FileState(path.name, "refused", _UNUSED)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _json(path: Path) -> tuple[str, dict[str, Any] | None]:
    """What is wrong with a JSON file (empty when nothing is), and the object that it holds."""
    try:
        held = json.loads(path.read_bytes())
    except OSError as error:
        return error.strerror or "it cannot be read", None
    except (ValueError, RecursionError):
        return "it is not JSON", None
    return ("", held) if isinstance(held, dict) else ("it holds no object", None)
