"""The pages about tokenizers and chat templates: their commands run, their template renders."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("codex_tokenizers")

from codex_core.cli.main import main
from codex_core.records import Record, Turn
from codex_core.rendering import loss_spans

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)


def test_the_commands_of_the_tokenizer_page_run(tmp_path, monkeypatch, capsys):
    """The recipe of the page, its commands in their order, and the pipe: all end well."""
    (tmp_path / ".codex").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a few words and a few more words\n" * 9)
    (tmp_path / "more.jsonl").write_text('{"text": "a row"}\n')
    (tmp_path / "tokenizer.yaml").write_text(blocks("train-a-tokenizer.md", "yaml")[0])
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("train-a-tokenizer.md", "sh") for line in block.splitlines() if line]
    assert len(lines) == 9
    for line in lines:
        for stage in line.split(" | "):
            code = main(shlex.split(stage)[1:])
            said = capsys.readouterr()
            assert code == 0, said.err
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(said.out.encode())))
        if " | " in line:
            assert said.out == "a few words"


def test_the_template_of_the_page_supervises_what_it_marks(tmp_path):
    """The example with generation marks, as printed."""
    from codex_tokenizers.bpe import BPE
    from codex_tokenizers.options import BPEOptions

    path = tmp_path / "mine.jinja"
    path.write_text(blocks("chat-templates.md", "jinja")[0])
    tokenizer = BPE.train(["some text"], BPEOptions(vocab_size=260, template=str(path)), seed=0)
    turns = (Turn("user", "2 + 2?", learn=False), Turn("assistant", "4"))
    rendered = tokenizer.render(Record(id="a", turns=turns, source=("a", 1)))

    assert [rendered.text[a:b] for a, b in loss_spans(rendered)] == ["4<|codex:eos|>"]
