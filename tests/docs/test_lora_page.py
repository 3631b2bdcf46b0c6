"""The guide to adapters is run as it is printed, and a composed configuration trains."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import attrs
import pytest

from codex_core.cli.main import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "fine-tune-with-lora.md"

FILE = re.compile(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", re.DOTALL)
COMMANDS = re.compile(r"```sh\n(.*?)```", re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with the files of the page."""
    pytest.importorskip("codex_models")
    (tmp_path / ".codex").mkdir()
    monkeypatch.chdir(tmp_path)
    for name, content in FILE.findall(PAGE.read_text(encoding="utf-8")):
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_every_command_of_the_guide_runs(folder, capsys):
    """Its commands end well in order, and the merged model continues a prompt as the adapter does."""
    pytest.importorskip("codex_safety")
    text = PAGE.read_text(encoding="utf-8")
    said = []
    for line in (line for block in COMMANDS.findall(text) for line in block.splitlines()):
        code = main(shlex.split(line)[1:])
        out = capsys.readouterr()
        assert code == 0, f"{line}\n{out.err}"
        if " generate " in line:
            said.append(out.out)
    assert len(said) == 2 and said[0] == said[1]


@pytest.mark.slow
def test_a_composed_configuration_trains_once_it_is_filled_in(folder, capsys):
    """`compose --goal lora` needs rows, a base and the base's tokenizer, and nothing else."""
    pytest.importorskip("codex_tokenizers")
    assert main(["-q", "model", "make-tiny", "--out", "tiny"]) == 0
    assert main(["registry", "compose", "--goal", "lora"]) == 0
    composed = capsys.readouterr().out.partition("schema:")
    (folder / "lora.yaml").write_text("".join(composed[1:]))
    filled = ["data.sources[0].path=pairs.jsonl", "data.split=[0.8, 0.2, 0.0]", "data.seq_len=64"]
    filled += [
        "tokenizer=bytes",
        "model.weights=tiny",
        "model.size=nano",
        "trainer.duration=2 steps",
        "writers=[]",
    ]
    assert main(["train", "lora.yaml", *filled, "trainer.warmup=1 steps", "--run-dir", "run"]) == 0
    assert "; lora on " in capsys.readouterr().err
    assert (folder / "run" / "checkpoints" / "step-00000002" / "model" / "adapter_config.json").is_file()


def test_the_table_of_the_guide_is_that_of_the_options():
    """Every option but the constant one stands in the table with its default."""
    pytest.importorskip("codex_models")
    from codex_models.lora_options import LoraOptions

    rows = dict(
        re.findall(r"^\| `model\.lora\.(\w+)` \| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.M)
    )
    defaults = attrs.asdict(LoraOptions(), filter=lambda field, _: field.name != "task_type")
    shown = {name: {16.0: "16", False: "false"}.get(value, str(value)) for name, value in defaults.items()}
    assert rows == {**shown, "dropout": "0.0"}
