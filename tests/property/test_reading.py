"""Rows that are written and read again, for every form and reader."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_core.data.csv_rows import CsvDataset
from codex_core.data.faults import RowFault
from codex_core.data.jsonl import JsonlDataset, parse_row
from codex_core.data.options import CsvOptions, JsonlOptions

#: Any Unicode text that UTF-8 holds, with what is easily mistaken for a line end more often.
TEXT = st.text(
    st.one_of(st.sampled_from('\n\r\u2028\u2029\u0085\x0b\x0c"\\:{}[], '), st.characters(codec="utf-8")),
    max_size=30,
)

ROLES = st.sampled_from(["system", "user", "assistant", "tool"])

ROWS = {
    "text": st.fixed_dictionaries({"text": TEXT}),
    "prompt_completion": st.fixed_dictionaries({"prompt": TEXT, "completion": TEXT}),
    "instruction": st.fixed_dictionaries(
        {"instruction": TEXT, "output": TEXT}, optional={"input": TEXT.filter(bool)}
    ),
    "messages": st.fixed_dictionaries(
        {
            "messages": st.lists(
                st.fixed_dictionaries({"role": ROLES, "content": TEXT}), min_size=1, max_size=4
            )
        }
    ),
    "sharegpt": st.fixed_dictionaries(
        {
            "conversations": st.lists(
                st.fixed_dictionaries({"from": ROLES, "value": TEXT}), min_size=1, max_size=4
            )
        }
    ),
}

LAXER = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def texts_in(row):
    """The texts of a row in the order of its form."""
    if "messages" in row:
        return [message["content"] for message in row["messages"]]
    if "conversations" in row:
        return [message["value"] for message in row["conversations"]]
    names = ("text", "prompt", "instruction", "input", "completion", "output")
    return [row[name] for name in names if name in row]


def texts_of(dataset):
    return [[turn.text for turn in record.turns] for record in dataset.records()]


@pytest.mark.parametrize("form", ROWS)
@LAXER
@given(st.data())
def test_json_lines_give_back_what_was_written(tmp_path, form, data):
    """Whatever the texts, the spelling of JSON, the compression and the size of parts."""
    rows = data.draw(st.lists(ROWS[form], min_size=1, max_size=4))
    spelt = "\n".join(json.dumps(row, ensure_ascii=data.draw(st.booleans())) for row in rows).encode()
    packed = data.draw(st.booleans())
    (tmp_path / "rows.jsonl").write_bytes(gzip.compress(spelt, 1) if packed else spelt)
    dataset = JsonlDataset(JsonlOptions(path=str(tmp_path / "rows.jsonl"), form=form))
    parts = dataset.parts(data.draw(st.integers(1, 200)))

    assert texts_of(dataset) == [texts_in(row) for row in rows]
    assert [record for part in parts for record in dataset.read(part)] == list(dataset.records())


@pytest.mark.parametrize("form", ["text", "prompt_completion", "instruction"])
@LAXER
@given(st.data())
def test_csv_gives_back_what_was_written(tmp_path, form, data):
    """Every text that the standard library writes, quoted, is read as it was."""
    rows = data.draw(st.lists(ROWS[form], min_size=1, max_size=4))
    names = sorted({name for row in rows for name in row} | {"id"})
    written = io.StringIO(newline="")
    table = csv.DictWriter(written, names, quoting=csv.QUOTE_ALL, lineterminator="\n")
    table.writeheader()
    table.writerows(row | {"id": "1"} for row in rows)
    (tmp_path / "rows.csv").write_bytes(written.getvalue().encode())
    dataset = CsvDataset(CsvOptions(path=str(tmp_path / "rows.csv"), form=form))

    assert texts_of(dataset) == [texts_in(row) for row in rows]


KEYS = st.sampled_from(['"a"', '"b"', '"text"', '"te\\u0078t"', '"a\\":"', '"\\u0061"'])
SPACE = st.sampled_from(["", "", " ", "\t", "\r"])
VALUES = st.recursive(
    st.sampled_from(['"x"', '"x\\": "', '"a :b"', "1", "null", "[]", "{}", '"{["', '" : : "']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(KEYS, SPACE, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key}{space}:{value}" for key, space, value in pairs) + "}"
        ),
    ),
    max_leaves=6,
)


def refuse_repeated(pairs):
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("repeated")
    return row


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(KEYS, SPACE, VALUES), min_size=1, max_size=4))
def test_repeated_keys_are_found_by_counting_as_by_parsing(pairs):
    """The verdict equals that of the standard library's parser with a hook, for every spelling and depth."""
    line = "{" + ",".join(f"{key}{space}:{value}" for key, space, value in pairs) + "}"
    try:
        expected = json.loads(line, object_pairs_hook=refuse_repeated)
    except ValueError:
        expected = None
    try:
        found = parse_row(line.encode(), max_nesting=1024)
    except RowFault as fault:
        assert fault.reason == "repeated-key"
        found = None

    assert found == expected


@pytest.mark.proof
@settings(max_examples=5_000, deadline=None)
@given(st.lists(st.tuples(KEYS, SPACE, VALUES), min_size=1, max_size=4))
def test_repeated_keys_are_found_in_many_lines(pairs):
    """The same over a full count of generated lines."""
    test_repeated_keys_are_found_by_counting_as_by_parsing.hypothesis.inner_test(pairs)
