"""Tables, sizes and envelopes as they are printed."""

from __future__ import annotations

import json

from codex_core.cli.output import human_bytes, print_json, table


def test_table_aligns_numbers_to_the_right_and_marks_absent_values():
    """Columns of numbers end on one edge, and None is shown as a dash."""
    lines = table(["name", "bits"], [["xz", 2.72], ["decoder", 12.5]]).splitlines()

    assert lines == ["name     bits", "-------  ----", "xz       2.72", "decoder  12.5"]
    assert table(["a", "b"], [["x", None]]).splitlines()[-1] == "x  -"


def test_envelope_is_one_ascii_line_with_its_schema(capsys):
    """Whatever the locale, `--json` prints one line that every terminal can carry."""
    print_json("codex-thing/1", {"name": "naïve 🚀"})

    out = capsys.readouterr().out
    assert out.isascii() and out.count("\n") == 1
    assert json.loads(out) == {"schema": "codex-thing/1", "name": "naïve 🚀"}


def test_sizes_read_in_the_unit_that_fits():
    """Sizes are decimal and never printed as thousands of a smaller unit."""
    assert [human_bytes(size) for size in (0, 999, 1000, 2_100_000, 3e12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "2.1 MB",
        "3.0 TB",
    ]
