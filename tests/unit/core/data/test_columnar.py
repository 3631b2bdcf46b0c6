"""Parquet files and saved datasets."""

from __future__ import annotations

import json

import pytest

from codex_core.data.options import ParquetOptions, SavedOptions
from codex_core.errors import InputError

pyarrow = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from codex_core.data.hf_saved import SavedDataset  # noqa: E402 - needs pyarrow
from codex_core.data.parquet import ParquetDataset  # noqa: E402 - needs pyarrow

CHATS = [
    {
        "messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}"}],
        "g": i % 3,
    }
    for i in range(600)
]


def parquet(path, **options):
    return ParquetDataset(ParquetOptions(path=str(path), **options))


def saved(path, **options):
    return SavedDataset(SavedOptions(path=str(path), **options))


def save(folder, table):
    """A folder as `save_to_disk` writes it: batches in files, and a state that names them in order."""
    folder.mkdir()
    halves = (table.slice(0, table.num_rows // 2), table.slice(table.num_rows // 2))
    names = [f"data-{i:05}-of-00002.arrow" for i in range(2)]
    for name, half in zip(names, halves, strict=True):
        with pyarrow.ipc.new_stream(str(folder / name), half.schema) as stream:
            stream.write_table(half, max_chunksize=100)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    return folder


def test_conversations_are_read_with_their_rows(tmp_path):
    """Nested columns, groups of whole numbers, and rows numbered from 1 over all row groups."""
    pq.write_table(pyarrow.Table.from_pylist(CHATS), tmp_path / "a.parquet", row_group_size=250)
    records = list(parquet(tmp_path / "a.parquet", form="messages", group="g").records())

    assert [record.turns[1].text for record in records] == [f"a{i}" for i in range(600)]
    assert [record.source for record in records] == [("a.parquet", row) for row in range(1, 601)]
    assert records[4].group == "1"


@pytest.mark.parametrize("part_bytes", [1, 2000, 1 << 30])
def test_parts_are_runs_of_row_groups(tmp_path, part_bytes):
    """Any size of parts gives the rows of the whole, with their numbers."""
    pq.write_table(pyarrow.Table.from_pylist(CHATS), tmp_path / "a.parquet", row_group_size=50)
    dataset = parquet(tmp_path / "a.parquet", form="messages")
    parts = dataset.parts(part_bytes)

    assert [record for part in parts for record in dataset.read(part)] == list(dataset.records())
    assert parts[0].start == 0 and parts[-1].end == (tmp_path / "a.parquet").stat().st_size
    assert len(parts) == {1: 12, 1 << 30: 1}.get(part_bytes, len(parts))
    first_rows = [next(iter(dataset.read(part))).source[1] for part in parts]
    assert [part.row for part in parts] == first_rows


def test_nulls_and_missing_columns_are_faults_of_rows(tmp_path):
    """Row and field are named; skipping goes on with the next row."""
    table = pyarrow.table({"text": pyarrow.array(["a", None, "c"])})
    pq.write_table(table, tmp_path / "a.parquet")

    with pytest.raises(InputError, match="field 'text': expected a string, found null") as caught:
        list(parquet(tmp_path / "a.parquet").records())
    assert caught.value.where.endswith("a.parquet:2")
    with pytest.raises(InputError, match="no such field"):
        list(parquet(tmp_path / "a.parquet", field="body").records())
    assert [record.text for record in parquet(tmp_path / "a.parquet", on_error="skip").records()] == [
        "a",
        "c",
    ]


def test_text_that_is_no_utf_8_is_the_fault_of_its_row(tmp_path):
    """Arrow does not check strings when they are read from a file; here each one is."""
    texts = pyarrow.array([b"a", b"\xff", b"c"]).cast(pyarrow.binary()).view(pyarrow.string())
    pq.write_table(pyarrow.table({"text": texts}), tmp_path / "a.parquet")
    dataset = parquet(tmp_path / "a.parquet", on_error="skip")

    assert [record.text for record in dataset.records()] == ["a", "c"]
    assert dataset.skipped() == {"not-utf-8": 1}


@pytest.mark.parametrize("cut", [0, 100, 4])
def test_a_damaged_file_is_refused(tmp_path, cut):
    """A file that is empty or cut short is an input error, not a crash."""
    pq.write_table(pyarrow.table({"text": ["a" * 500]}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[: -cut if cut == 4 else cut])

    with pytest.raises(InputError) as caught:
        list(parquet(tmp_path / "a.parquet").records())

    assert caught.value.code == "DAT-004"


def test_a_saved_dataset_is_read_in_order(tmp_path):
    """The files that the state names, in its order, each with rows from 1."""
    dataset = saved(save(tmp_path / "saved", pyarrow.Table.from_pylist(CHATS)), form="messages")
    records = list(dataset.records())

    assert [record.turns[0].text for record in records] == [f"q{i}" for i in range(600)]
    assert records[300].source == ("data-00001-of-00002.arrow", 1)
    assert [record for part in dataset.parts(1) for record in dataset.read(part)] == records


def test_splits_of_a_saved_dataset_are_named(tmp_path):
    """Several splits want one named; a single one is taken."""
    (tmp_path / "saved").mkdir()
    save(tmp_path / "saved" / "train", pyarrow.table({"text": ["a", "b"]}))
    save(tmp_path / "saved" / "test", pyarrow.table({"text": ["c", "d"]}))
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')

    assert [record.text for record in saved(tmp_path / "saved", split="test").records()] == ["c", "d"]
    for split in (None, "dev"):
        with pytest.raises(InputError, match="the splits train, test"):
            saved(tmp_path / "saved", split=split).identity()
    with pytest.raises(InputError, match="a single dataset"):
        saved(tmp_path / "saved" / "train", split="train").identity()


def test_what_is_no_saved_dataset_is_refused(tmp_path):
    """A folder without state, and one that is not there, are input errors."""
    with pytest.raises(InputError, match=r"no state\.json"):
        saved(tmp_path).identity()
    with pytest.raises(InputError, match="does not exist"):
        saved(tmp_path / "none").identity()
    save(tmp_path / "saved", pyarrow.table({"text": ["a", "b"]}))
    (tmp_path / "saved" / "data-00001-of-00002.arrow").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="Arrow batches"):
        list(saved(tmp_path / "saved").records())


@pytest.mark.slow
def test_what_the_library_itself_saves_is_read(tmp_path, monkeypatch):
    """Folders that `save_to_disk` of Hugging Face `datasets` wrote give the rows that it was given."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    whole = datasets.Dataset.from_list(CHATS, features=None).shuffle(seed=1)
    whole.save_to_disk(tmp_path / "one", num_shards=3)
    whole.train_test_split(test_size=100, seed=1).save_to_disk(tmp_path / "two")

    read = [record.turns[1].text for record in saved(tmp_path / "one", form="messages").records()]
    assert read == [row["messages"][1]["content"] for row in whole]
    parts = {
        split: [
            record.turns[1].text for record in saved(tmp_path / "two", form="messages", split=split).records()
        ]
        for split in ("train", "test")
    }
    assert len(parts["test"]) == 100
    assert sorted(parts["train"] + parts["test"]) == sorted(read)
