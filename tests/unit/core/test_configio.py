"""Reading configuration text: YAML 1.2 with places, and nothing that a configuration does not need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codex_core import config
from codex_core.errors import ConfigError, InputError
from codex_core.planning.configio import MAX_BYTES, origins, parse, plain, read

ROOT = Path(__file__).resolve().parents[3]


def read_text(text: str) -> object:
    return plain(parse(text, source="run.yaml"))


def test_scalars_follow_yaml_1_2_when_bare():
    """`1e-3` is a number, `yes` and a date are text, octal and hexadecimal are whole numbers."""
    text = "[1e-3, .5, -2, 0x10, 0o17, 010, yes, off, 2024-01-01, 1_000, true, Null, ~, '1', 1.2.3]"
    assert read_text(text) == [
        1e-3, 0.5, -2, 16, 15, 10, "yes", "off", "2024-01-01", "1_000", True, None, None, "1", "1.2.3",
    ]  # fmt: skip


def test_every_value_knows_its_line():
    """The origin of a value is the line of its key, for containers as for scalars, in both styles."""
    text = "run: {seed: 1}\ndata:\n  sources:\n    - name: a\n      path: b\n  split: [1,\n    2]\n"
    found = origins(parse(text, source="run.yaml"))
    assert found["run.seed"] == "run.yaml:1"
    assert found["data"] == "run.yaml:2"
    assert found["data.sources[0].path"] == "run.yaml:5"
    assert found["data.split"] == "run.yaml:6"
    assert found["data.split[1]"] == "run.yaml:7"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null"])
def test_empty_text_is_an_empty_mapping(text):
    """A file without values is a configuration that writes nothing."""
    assert read_text(text) == {}


HOSTILE = {
    "alias bomb": ("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "run.yaml:1"),
    "alias alone": ("x: 1\na: *b\n", "run.yaml:2"),
    "tag": ("x: 1\ny: 2\na: !!python/object/apply:os.system [ls]\n", "run.yaml:3"),
    "plain tag": ("a: !!str 1\n", "run.yaml:1"),
    "duplicate key": ("a: 1\nb: 2\na: 3\n", "run.yaml:3"),
    "duplicate key in a flow": ("\n{a: 1, a: 2}\n", "run.yaml:2"),
    "list as key": ("? [a]\n: 1\n", "run.yaml:1"),
    "empty key": (": 1\n", "run.yaml:1"),
    "two documents": ("a: 1\n---\nb: 1\n", "run.yaml:2"),
    "directive": ("%YAML 1.1\n---\na: 1\n", "run.yaml:2"),
    "tag directive": ("%TAG ! tag:x,2000:\n---\na: 1\n", "run.yaml:2"),
    "not a number": ("\na: .nan\n", "run.yaml:2"),
    "infinity": ("a: -.inf\n", "run.yaml:1"),
    "overflowing number": ("a: 1e999\n", "run.yaml:1"),
    "number of 5000 digits": (f"a: {'1' * 5000}\n", "run.yaml:1"),
    "lone surrogate": ('a: "\\ud800"\n', "run.yaml:1"),
    "brackets": ("\n" + "[" * 60_000, "run.yaml:2"),
    "braces": ("{a: " * 16_000, "run.yaml:1"),
    "deep blocks": ("".join(" " * i + "a:\n" for i in range(300)), "run.yaml:25"),
    "deep dashes": ("- " * 30_000, "run.yaml:1"),
    "too many values": ("[" + "1," * 30_000 + "1]", "run.yaml:1"),
    "too many keys": ("".join(f"k{i}: 1\n" for i in range(6_000)), "run.yaml:2000"),
    "too many empty lists": ("[" + "[]," * 20_000 + "]", "run.yaml:1"),
    "too long": ("a: " + "x" * MAX_BYTES, "run.yaml:1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_with_its_place(name):
    """Whatever can make a reader slow, large or surprising is refused as CFG-003, with the line where it stands."""
    text, place = HOSTILE[name]
    with pytest.raises(ConfigError) as caught:
        read_text(text)

    assert (caught.value.code, caught.value.where) == ("CFG-003", place)
    assert caught.value.fix and len(str(caught.value)) < 500


TIMED = """
import json, sys, time
from codex_core.errors import ConfigError
from tests.unit.core.test_configio import HOSTILE, read_text

taken = {}
for name, (text, _) in HOSTILE.items():
    started = time.process_time()
    try:
        read_text(text)
    except ConfigError:
        taken[name] = time.process_time() - started
print(json.dumps(taken))
"""


def test_hostile_text_is_refused_quickly():
    """Each takes less than 0.2 s of a process that nobody traces, wherever in the text the offence stands."""
    untraced = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", TIMED], cwd=ROOT, env=untraced, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    taken = json.loads(done.stdout)

    assert set(taken) == set(HOSTILE)
    assert {name: seconds for name, seconds in taken.items() if seconds >= 0.2} == {}


def test_hostile_files_bases_and_overrides_are_refused_alike(tmp_path):
    """The same limits hold for a file, for what it extends, and for the value of an override."""
    (tmp_path / "bomb.yaml").write_text("model: x\na: &a [x]\nb: [*a, *a]\n")
    (tmp_path / "above.yaml").write_text("extends: bomb.yaml\n")
    for name in ("bomb", "above"):
        with pytest.raises(ConfigError) as caught:
            config.load(tmp_path / f"{name}.yaml")
        assert (caught.value.code, caught.value.where) == ("CFG-003", f"{tmp_path}/bomb.yaml:2")
    for value in ("[&a 1, *a]", "{a: 1, a: 2}", "[!!str x]", "[" * 5_000):
        started = time.process_time()
        with pytest.raises(ConfigError) as caught:
            config.load(None, [f"model={value}"])
        assert caught.value.code == "CFG-008" and time.process_time() - started < 0.2


BROKEN = {
    "open list": ("a: [1, 2\n", "run.yaml:2:1"),
    "open quote": ("a: 'x\n", "run.yaml:2:1"),
    "second colon": ("a: b: c\n", "run.yaml:1:5"),
    "tab": ("a:\n\tb: 1\n", "run.yaml:2:1"),
    "control character": ("a: 1\nb: \x00\n", "run.yaml:2"),
    "impossible escape": ('a: "\\UFFFFFFFF"\n', "run.yaml"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_text_that_is_no_yaml_is_reported_with_line_and_column(name):
    """A syntax error says where the reader stood when it could not go on."""
    text, place = BROKEN[name]
    with pytest.raises(ConfigError) as caught:
        read_text(text)

    assert (caught.value.code, caught.value.where) == ("CFG-002", place)


def test_a_file_that_cannot_be_read_is_an_input_error(tmp_path):
    """A missing file and a folder are exit 4, with the system's reason."""
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(InputError) as caught:
            read(path)

        assert caught.value.code == "CFG-001" and caught.value.why


def test_a_file_that_is_not_utf8_is_reported_with_its_line(tmp_path):
    """Bytes of another encoding are named by line instead of being replaced."""
    path = tmp_path / "run.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError) as caught:
        read(path)

    assert caught.value.where == f"{path}:2"


def test_a_large_file_is_refused_without_reading_it_whole(tmp_path):
    """More than the limit is refused by size, whatever it holds."""
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xff" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError) as caught:
        read(path)

    assert caught.value.code == "CFG-003"


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    """Files from editors that write a mark read like any other."""
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert plain(read(path)) == {"a": 1}
