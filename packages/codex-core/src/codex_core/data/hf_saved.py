"""The dataset `hf-saved`: a folder that `save_to_disk` of Hugging Face `datasets` wrote.

Decisions: the Arrow files are read as they are, by pyarrow: no network can be asked, nothing is cached and nothing
of the folder is executed. What `state.json` names is read, in its order; a folder of several splits wants one named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow

from codex_core.data.columnar import BATCH_ROWS, columns_of, records_of
from codex_core.data.files import FileDataset, row_settings
from codex_core.data.inputs import InputFile, unreadable
from codex_core.errors import InputError
from codex_core.records import Part, Record

_FILE_MAGIC = b"ARROW1"


class SavedDataset(FileDataset):
    """Rows of a saved Hugging Face dataset as records; see `SavedOptions`."""

    reader = "hf-saved/1"

    def files(self) -> list[InputFile]:
        """The Arrow files of the split, in their order."""
        top = Path(self.options.path)
        split = _split(top, self.options.split)
        folder = top / split if split else top
        names = [held["filename"] for held in _json(folder / "state.json")["_data_files"]]
        prefix = f"{split}/" if split else ""
        return [InputFile(folder / Path(name).name, prefix + Path(name).name) for name in names]

    def settings(self) -> dict[str, Any]:
        """Form, fields and group; the split is in the names of the files."""
        return row_settings(self.options, place="hf-saved")

    def rows(self, file: InputFile, part: Part | None) -> Iterator[Record]:
        """The rows of one Arrow file."""
        batches = _batches(file, columns_of(self.options))
        return records_of(batches, file, self.options, account=self.account, place="hf-saved")


def _split(top: Path, wanted: str | None) -> str | None:
    """The split to read: None where the folder is one dataset."""
    if not (top / "dataset_dict.json").is_file():
        if wanted is not None:
            raise _not_saved(top, f"a folder of splits with {wanted!r}", "a single dataset")
        return None
    splits = [str(name) for name in _json(top / "dataset_dict.json")["splits"]]
    if wanted is None and len(splits) == 1:
        return splits[0]
    if wanted not in splits:
        raise _not_saved(top, "the option `split` to name one split", f"the splits {', '.join(splits)}")
    return wanted


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        if not path.parent.exists():
            raise unreadable(path.parent, error) from error
        raise _not_saved(path.parent, "a folder that save_to_disk wrote", f"no {path.name}") from error
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def _batches(file: InputFile, columns: list[str]) -> Iterator[tuple[int, Any]]:
    row = 1
    try:
        with pyarrow.memory_map(str(file.path)) as source:
            for batch in _stored(source):
                present = batch.select([name for name in columns if name in batch.schema.names])
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    yield row + start, present.slice(start, BATCH_ROWS)
                row += batch.num_rows
    except pyarrow.ArrowException as error:
        raise InputError(
            code="DAT-004",
            what="expected a file of Arrow batches, found something else or a damaged one",
            where=str(file.path),
            why=str(error).splitlines()[0][:200],
            fix="save the dataset again",
        ) from error
    except OSError as error:
        raise unreadable(file.path, error) from error


def _stored(source: Any) -> Iterator[Any]:
    """The batches of a stream, which `datasets` writes, or of a file with a footer."""
    is_file = source.read(len(_FILE_MAGIC)) == _FILE_MAGIC
    source.seek(0)
    if not is_file:
        yield from pyarrow.ipc.open_stream(source)
        return
    reader = pyarrow.ipc.open_file(source)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


def _not_saved(folder: Path, expected: str, found: str) -> InputError:
    return InputError(
        code="DAT-004",
        what=f"expected {expected}, found {found}",
        where=str(folder),
        fix="name the folder that `save_to_disk` was given, and `split` where it holds several",
    )
