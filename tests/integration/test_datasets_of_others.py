"""Datasets that others install, and datasets whose library is missing, as a user meets them."""

from __future__ import annotations

import os

import pytest

from tests.support.commands import Project
from tests.support.distributions import Site

SQUARES = """
import attrs
from codex_core import Component, hookimpl
from codex_core.options import option
from codex_core.records import plain_text

CODEX_API = (1, 0)

@hookimpl
def codex_datasets():
    return [Component("squares", target="squares_dist:Squares", options="squares_dist:Options", summary="squares")]

@attrs.frozen(kw_only=True)
class Options:
    path: str = option("", doc="where the name of the rows comes from", unit="path")
    count: int = option(30, doc="how many", minimum=1)

class Squares:
    def __init__(self, options):
        self.options = options
    def identity(self):
        return {"reader": "squares/1", "count": self.options.count}
    def records(self):
        for i in range(1, self.options.count + 1):
            yield plain_text(f"{i} times {i} is {i * i}", id=f"square {i}", source=("squares", i))
"""

RUN = """schema: codex-run/1
data: {sources: [{name: squares, count: 40}], seq_len: 16}
tokenizer: bytes
model: ngram
trainer: ngram
safety: {name: none, reason: a test}
"""


@pytest.mark.slow
def test_a_dataset_of_somebody_else_is_used_by_its_name(tmp_path):
    """It is listed, validated, previewed and prepared like ours, without parts, forms or an account of its own."""
    site = Site(tmp_path / "site")
    site.add("squares-dist", SQUARES)
    search = os.pathsep.join(filter(None, [str(site.path), os.environ.get("PYTHONPATH", "")]))
    project = Project.make(tmp_path / "project", PYTHONPATH=search)
    (project.path / "run.yaml").write_text(RUN)

    listed = project.codex("registry", "list", "datasets", "--json").json
    assert {"squares-dist/squares"} <= {row["id"] for row in listed["rows"]}
    checked = project.codex("data", "validate", "any", "--reader", "squares", "--json")
    assert (checked.code, checked.json["rows"], checked.json["skipped"]) == (0, 30, 0), checked.err
    shown = project.codex("data", "preview", "any", "--reader", "squares", "--rows", "1", "--json").json
    assert shown["rows"][0]["rendered"] == "1 times 1 is 1"
    prepared = project.codex("data", "prepare", "run.yaml", "--bypass-safety", "a test", "--json")
    assert prepared.code == 0, prepared.err
    rows = prepared.json["manifest"]["rows"]
    assert (rows["read"], rows["kept"], rows["skipped"]) == (40, 40, {})


@pytest.mark.slow
def test_a_reader_without_its_library_is_refused_with_the_install_line(tmp_path):
    """Without pyarrow a Parquet file is exit 3 and the fix can be pasted; everything else still reads."""
    pytest.importorskip("pyarrow")
    project = Project.make(tmp_path / "project")
    bare = project.without("pyarrow")
    (project.path / "a.parquet").write_bytes(b"PAR1")
    (project.path / "a.jsonl").write_text('{"text": "a"}\n')

    said = bare.codex("data", "validate", "a.parquet")
    assert said.code == 3, said
    assert "pyarrow is not installed" in said.err
    assert "fix: pip install" in said.err
    assert bare.codex("data", "validate", "a.jsonl").code == 0


@pytest.mark.slow
def test_an_input_without_rows_is_told(tmp_path):
    """A file that holds nothing has no fault to list, and its validation does not pass in silence."""
    project = Project.make(tmp_path / "project")
    (project.path / "empty.jsonl").write_text("")

    said = project.codex("data", "validate", "empty.jsonl")

    assert said.code == 0 and "empty.jsonl holds no row" in said.err
