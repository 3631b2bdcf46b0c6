"""The documentation that ships with Python."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from codex_core.canonical import canonical_json
from codex_core.data.options import PydocOptions
from codex_core.data.pydoc import PydocDataset
from codex_core.errors import InputError
from codex_core.testing.datasets import check_dataset

ONLY_BUILT_IN = (
    "built-in:sys.exit",
    "built-in:builtins.str.join",
    "built-in:math.sqrt",
    "built-in:sys.excepthook",
)


@pytest.fixture
def stdlib(tmp_path):
    """A small standard library, with what must not be read beside it."""
    files = {
        "pydoc_data/topics.py": "topics = {'if': 'The if statement.', 'def': 'Function definitions.'}\n",
        "json/__init__.py": '"""A format."""\n',
        "json/tool.py": (
            '"""A tool."""\nif True:\n    class A:\n        """A class."""\n'
            "        def m(self):\n            '''  A method.\n\n            More.\n            '''\n"
            "        def n(self): pass\n"
        ),
        "ast.py": 'def f():\n    """\u00e4"""\ntry:\n    pass\nexcept ValueError:\n    def g():\n        "G."\n',
        "json/tests/test_it.py": '"""Not this."""\n',
        "site-packages/other.py": '"""Not this."""\n',
        "stranger.py": '"""Not this either."""\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def texts(stdlib, **options):
    """Records of the small library by id, without those of built-in modules."""
    dataset = PydocDataset(PydocOptions(**options), stdlib=stdlib)
    return {record.id: record for record in dataset.records() if not record.id.startswith("built-in:")}


def test_topics_docstrings_and_sources_are_read(stdlib):
    """Docstrings at any depth, cleaned; topics sorted; nothing of tests, site-packages or strangers."""
    records = texts(stdlib, sources=True)

    assert {id: record.text for id, record in records.items() if not id.startswith("source:")} == {
        "topic:def": "Function definitions.",
        "topic:if": "The if statement.",
        "doc:ast.f:2": "ä",
        "doc:ast.g:7": "G.",
        "doc:json:1": "A format.",
        "doc:json.tool:1": "A tool.",
        "doc:json.tool.A:4": "A class.",
        "doc:json.tool.A.m:6": "A method.\n\nMore.",
    }
    assert [id for id in records if id.startswith("source:")] == [
        "source:ast.py", "source:json/__init__.py", "source:json/tool.py",
    ]  # fmt: skip
    assert records["source:ast.py"].text == (stdlib / "ast.py").read_text(encoding="utf-8")


def test_groups_are_top_level_modules(stdlib):
    """Documents of one module stay together; each topic stands for itself."""
    records = texts(stdlib)

    assert records["doc:json.tool.A:4"].group == records["doc:json:1"].group == "json"
    assert records["topic:if"].group is None


def test_parts_can_be_left_out(stdlib):
    """Each part is read only when its option says so."""
    assert {id.partition(":")[0] for id in texts(stdlib, docstrings=False)} == {"topic"}
    assert {id.partition(":")[0] for id in texts(stdlib, topics=False)} == {"doc"}
    nothing = PydocOptions(topics=False, docstrings=False)
    assert list(PydocDataset(nothing, stdlib=stdlib).records()) == []


def test_built_in_modules_are_read(stdlib, monkeypatch):
    """Functions and methods written in C are documented by their own names, even where they were replaced."""
    dataset = PydocDataset(PydocOptions(), stdlib=stdlib)
    before = [record.id for record in dataset.records()]
    monkeypatch.setattr(sys, "excepthook", lambda *error: None)

    assert set(before).issuperset(ONLY_BUILT_IN)
    assert [record.id for record in dataset.records()] == before


def test_it_keeps_the_promises_of_a_dataset():
    """The conformance suite of datasets passes on the installation itself, whose topics are read in full."""
    check_dataset(PydocDataset, PydocOptions(docstrings=False))
    check_dataset(PydocDataset, PydocOptions(topics=False), most=200)


def test_identity_names_python_and_changes_with_a_file(stdlib):
    """The identity holds the Python version, no path, and another digest for other bytes."""
    dataset = PydocDataset(PydocOptions(), stdlib=stdlib)
    before = dataset.identity()
    (stdlib / "ast.py").write_text("x = 1\n", encoding="utf-8")

    assert before["python"] == ".".join(map(str, sys.version_info[:3]))
    assert str(stdlib) not in canonical_json(before).decode()
    assert dataset.identity() != before


def test_a_python_without_sources_is_refused(tmp_path):
    """An installation without source files is an input error that says so."""
    with pytest.raises(InputError, match="no sources"):
        PydocDataset(PydocOptions(topics=False), stdlib=tmp_path).identity()
    with pytest.raises(InputError, match="does not exist"):
        PydocDataset(PydocOptions(docstrings=False), stdlib=tmp_path).identity()


def test_a_file_that_does_not_parse_is_refused(stdlib):
    """Broken source names file and line."""
    (stdlib / "ast.py").write_text("x = 1\ndef f(:\n", encoding="utf-8")

    with pytest.raises(InputError) as caught:
        texts(stdlib)

    assert caught.value.where == f"{stdlib / 'ast.py'}:2"


def test_processes_agree_and_import_nothing():
    """Two processes with other hash seeds, one with much imported, see one identity; no module is imported."""
    code = (
        "import {extra}sys\n"
        "from codex_core.data.options import PydocOptions\n"
        "from codex_core.data.pydoc import PydocDataset\n"
        "from codex_core.canonical import digest_of\n"
        "loaded = set(sys.modules)\n"
        "sys.excepthook = lambda *error: None\n"
        "dataset = PydocDataset(PydocOptions(topics=False))\n"
        "first = next(dataset.records())\n"
        "print(digest_of(dataset.identity()), first.id)\n"
        "new = {{name for name in set(sys.modules) - loaded if not name.startswith('_')}}\n"
        "assert new <= {{'array', 'binascii', 'cmath', 'gc', 'math', 'unicodedata', 'zlib'}}, new\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code.format(extra=extra)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for extra, seed in (("", "1"), ("numpy, decimal, asyncio, unittest, ", "2"))
    }

    assert len(printed) == 1


def test_signatures_are_instructions(stdlib):
    """In the instruction form a definition asks, and the first paragraph of its docstring is what is learned."""
    records = texts(stdlib, form="instruction")

    assert sorted(records) == [
        "signature:ast.f:2",
        "signature:ast.g:7",
        "signature:json.tool.A.m:6",
        "signature:json.tool.A:4",
    ]
    method = records["signature:json.tool.A.m:6"]
    assert [(turn.role, turn.text, turn.learn) for turn in method.turns] == [
        ("instruction", "json.tool\n\ndef m(self):", False),
        ("output", "A method.", True),
    ]
    assert (method.source, method.group) == (("json/tool.py", 6), "json")
    assert records["signature:json.tool.A:4"].turns[0].text.endswith("class A:")


def test_the_form_is_part_of_the_identity(stdlib):
    """Instructions read neither topics nor built-in modules, and the plain form keeps the identity that it had."""
    plain, asked = (
        PydocDataset(PydocOptions(form=form), stdlib=stdlib).identity() for form in ("text", "instruction")
    )

    assert "form" not in plain["options"] and asked["options"]["form"] == "instruction"
    assert "built_in_digest" in plain and "built_in_digest" not in asked
    assert plain["files"]["count"] == asked["files"]["count"] + 1
