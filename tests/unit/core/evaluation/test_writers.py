"""The NDJSON and CSV writers: same rows, whole lines, widening tables."""

from __future__ import annotations

import csv
import json

import pytest

from codex_core.contracts import RunInfo
from codex_core.errors import InputError
from codex_core.evaluation.options import WriterOptions
from codex_core.evaluation.writers import CsvWriter, NdjsonWriter
from codex_core.testing import check_writer


def read_ndjson(folder):
    """Rows of the NDJSON writer's default file."""
    return [json.loads(line) for line in (folder / "writers/metrics-run.ndjson").read_text().splitlines()]


def read_csv(folder):
    """Rows of the CSV writer's default file, without cells that were not measured."""
    with (folder / "writers/metrics-run.csv").open(newline="") as table:
        return [{name: cell for name, cell in row.items() if cell != ""} for row in csv.DictReader(table)]


def run(folder):
    """What a writer is told of a run in `folder`."""
    return RunInfo(run_id="r1", name="run", attempt=1, path=folder)


def written(writer, folder, *rows):
    """Write rows in one attempt."""
    writer.open(run(folder))
    for sequence, row in enumerate(rows, 1):
        writer.write(row, sequence)
    writer.close()


@pytest.mark.parametrize(("cls", "read"), [(NdjsonWriter, read_ndjson), (CsvWriter, read_csv)])
def test_writers_conform(cls, read, tmp_path):
    """Both writers keep every promise of the writer contract, and every row can be read back, twice appended."""
    check_writer(cls, WriterOptions(), folder=tmp_path, read=read)


def test_both_files_hold_the_same_rows(tmp_path):
    """Row by row, the table's cells are the spelling of the NDJSON values, to the last digit."""
    rows = [
        {"step": 1, "split": "train", "tokens": 10, "loss": 1 / 3},
        {"step": 1, "split": "validation", "bits_per_byte": 0.1 + 0.2},
        {"step": 2, "split": "train", "tokens": 20, "loss": 1e-300, "lr": 3e-4},
    ]
    written(NdjsonWriter(WriterOptions()), tmp_path, *rows)
    written(CsvWriter(WriterOptions()), tmp_path, *rows)
    assert read_ndjson(tmp_path) == rows
    assert read_csv(tmp_path) == [
        {name: str(value) for name, value in row.items()} for row in read_ndjson(tmp_path)
    ]


def test_table_widens_for_new_columns(tmp_path):
    """A column that comes late is added to the header, and earlier rows have an empty cell there."""
    first = {"step": 1, "split": "train", "tokens": 1, "loss": 2.5}
    written(CsvWriter(WriterOptions()), tmp_path, first)
    written(CsvWriter(WriterOptions()), tmp_path, first | {"step": 2, "accuracy": 0.5})
    text = (tmp_path / "writers/metrics-run.csv").read_text()
    assert text == "step,split,tokens,accuracy,loss\n1,train,1,,2.5\n2,train,1,0.5,2.5\n"


@pytest.mark.parametrize("cls", [NdjsonWriter, CsvWriter])
def test_torn_line_is_removed(cls, tmp_path):
    """What a crash left of the last line goes when the file is opened again; whole lines stay."""
    row = {"step": 1, "split": "train", "tokens": 1, "loss": 2.5}
    written(cls(WriterOptions(path="rows")), tmp_path, row)
    whole = (tmp_path / "rows").read_bytes()
    with (tmp_path / "rows").open("ab") as file:
        file.write(b'2,"tra')
    written(cls(WriterOptions(path="rows")), tmp_path)
    assert (tmp_path / "rows").read_bytes() == whole


def test_path_option_is_relative_to_the_run(tmp_path):
    """The option `path` names the file, in folders that are made."""
    written(NdjsonWriter(WriterOptions(path="a/b/rows.ndjson")), tmp_path, {"step": 1, "split": "train"})
    assert (tmp_path / "a/b/rows.ndjson").read_text() == '{"step": 1, "split": "train"}\n'


@pytest.mark.parametrize("cls", [NdjsonWriter, CsvWriter])
def test_unwritable_place_is_an_error(cls, tmp_path):
    """A path that cannot be a file raises EVL-005, exit 4, naming the place."""
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError) as caught:
        cls(WriterOptions(path="taken")).open(run(tmp_path))
    assert caught.value.code == "EVL-005" and caught.value.exit_code == 4
    assert str(tmp_path / "taken") in caught.value.where


def test_failed_widening_keeps_the_table(tmp_path, monkeypatch):
    """When the disk fills while the table is widened, the old table stays whole."""
    from codex_core import files

    row = {"step": 1, "split": "train", "tokens": 1, "loss": 2.5}
    written(CsvWriter(WriterOptions(path="t.csv")), tmp_path, row)
    whole = (tmp_path / "t.csv").read_bytes()
    writer = CsvWriter(WriterOptions(path="t.csv"))
    writer.open(run(tmp_path))

    def full(self, path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Files, "write", full)
    with pytest.raises(OSError, match="No space"):
        writer.write(row | {"late": 1.0}, 1)
    assert (tmp_path / "t.csv").read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
