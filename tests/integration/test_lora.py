"""Adapters on the command line: trained, opened, moved, merged and exported, and what is refused on the way."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from tests.support.commands import Project, safety_line

pytest.importorskip("torch")
pytest.importorskip("codex_models")

from codex_core.cli.main import main
from tests.support.adapters import adapter

RUN = """\
run: {name: adapted, log_every: 1, threads: 1}
data:
  sources: [{name: jsonl, path: pairs.jsonl, form: prompt_completion}]
  split: [0.8, 0.2, 0.0]
  seq_len: 64
tokenizer: bytes
model: {name: decoder, size: nano, weights: tiny, lora: {r: 2}}
trainer: {name: torch, duration: 4 steps, batch_rows: 2, warmup: 1 steps, lr: 1e-2, precision: fp32}
checkpoint: {every: 2}
evaluation: {every: 2}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with pairs, the tiny model, and a configuration that adapts it."""
    (tmp_path / ".codex").mkdir()
    monkeypatch.chdir(tmp_path)
    pairs = [{"prompt": f"{number} and one is ", "completion": str(number + 1)} for number in range(40)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (tmp_path / "run.yaml").write_text("schema: codex-run/1\n" + RUN + safety_line())
    assert main(["-q", "model", "make-tiny", "--out", "tiny"]) == 0
    return tmp_path


def _train(*words: str) -> int:
    return main(["train", "run.yaml", *words])


def _generate(*words: str) -> int:
    return main(["-q", "generate", "--temperature", "0", "--max-new-tokens", "6", *words, "1 and one is "])


@pytest.mark.parametrize(
    ("change", "path"), [("model.lora.r=-1", "model.lora.r"), ("model.lora.alhpa=1", "model.lora.alhpa")]
)
def test_mistakes_are_told_before_any_weight_is_loaded(change, path, tmp_path, monkeypatch, capsys):
    """Exit 2 with the path of the field, though the weights are not there at all."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (tmp_path / "run.yaml").write_text("schema: codex-run/1\n" + RUN + safety_line())
    assert main(["train", "run.yaml", change]) == 2
    assert path in capsys.readouterr().err


def test_overrides_and_defaults_can_be_seen(project, capsys):
    """`config show` tells what was set and where, and every default of the group."""
    assert main(["config", "show", "run.yaml", "model.lora.alpha=4", "--origin"]) == 0
    shown = {
        line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()
    }
    assert shown["model.lora.alpha"] == ["4", "override", "model.lora.alpha=4"]
    assert shown["model.lora.r"][0] == "2" and shown["model.lora.dropout"][-1] == "default"
    assert main(["config", "explain", "model.lora.targets"]) == 0
    assert "all-linear" in capsys.readouterr().out


@pytest.mark.slow
def test_a_trained_adapter_is_told_opened_moved_merged_and_exported(project, capsys):
    """One run from training to a model that stands alone; every step says what it did."""
    assert _train("--run-dir", "one") == 0
    told = capsys.readouterr().err
    assert re.search(r"lora on [0-9.]+% of targets, [0-9,]+ of [0-9,]+ parameters \([0-9.]+ ?%\)", told), told

    assert _generate("--model", "one") == 0
    text = capsys.readouterr().out
    assert main(["-q", "evaluate", "--checkpoint", "one", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["metrics"][0]["value"]

    shutil.move("tiny", "elsewhere")
    assert _generate("--model", "one") == 4
    assert "--base DIR" in capsys.readouterr().err
    assert _generate("--model", "one", "--base", "elsewhere") == 0
    assert capsys.readouterr().out == text
    assert main(["-q", "evaluate", "--checkpoint", "one", "--base", "elsewhere", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"][0]["value"] == first
    assert main(["-q", "model", "make-tiny", "--seed", "9", "--out", "other"]) == 0
    assert _generate("--model", "one", "--base", "other") == 7
    assert _generate("--model", "elsewhere", "--base", "other") == 2

    assert main(["model", "merge", "one", "--base", "elsewhere", "--out", "merged", "--json"]) == 0
    done = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert done["difference"] <= done["bound"] == 1e-5
    assert _generate("--model", "merged") == 0
    assert capsys.readouterr().out == text
    assert _train("model.weights=one/checkpoints/step-00000004", "--run-dir", "twice") == 2
    assert "MOD-032" in capsys.readouterr().err
    assert _train("model.weights=merged", "trainer.duration=2 steps", "--run-dir", "again") == 0


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_bytes_of_the_unbroken_one(project):
    """Stopped after two steps of four and resumed, checkpoint files and metric rows are equal."""
    assert _train("--run-dir", "whole") == 0
    stopped = Project(project)
    said = stopped.codex_until('"step":2,', "train", "run.yaml", "--run-dir", "rest", run=project / "rest")
    assert said.code != 0
    assert main(["-q", "train", "--resume", "rest"]) == 0
    names = ["model/adapter_model.safetensors", "model/adapter.json", "trainer/optimizer.safetensors"]
    for name in names:
        one, other = (project / run / "checkpoints" / "step-00000004" / name for run in ("whole", "rest"))
        assert one.read_bytes() == other.read_bytes()
    assert (project / "whole" / "metrics.csv").read_bytes() == (project / "rest" / "metrics.csv").read_bytes()


@pytest.mark.slow
def test_an_exported_adapter_is_loaded_by_peft_first(project, capsys, recwarn):
    """The folder holds peft's files, a card, and the bound that was kept; a whole model is refused."""
    pytest.importorskip("peft")
    adapter(project / "adapted", base=project / "tiny")
    assert main(["model", "export-adapter", "adapted", "--out", "alone", "--json"]) == 0
    done = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert done["verified_by"].startswith("peft ") and done["difference"] <= done["bound"]
    assert not [one for one in recwarn if one.category is FutureWarning]
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md"} <= {
        path.name for path in (project / "alone").iterdir()
    }
    assert main(["model", "export-adapter", "tiny", "--out", "whole"]) == 2
    assert "MOD-037" in capsys.readouterr().err


@pytest.mark.slow
def test_hf_causal_without_peft_is_refused_and_never_trained_plain(project, capsys):
    """Exit 3 with the install line where peft is missing; with it, the same configuration trains."""
    pytest.importorskip("peft")
    assert main(["-q", "model", "make-tiny", "--layout", "llama", "--out", "hf"]) == 0
    asked = ("model={name: hf-causal, weights: hf, lora: {r: 2}}", "trainer.duration=1 steps")
    without = Project(project).without("peft")
    said = without.codex("train", "run.yaml", *asked, "--run-dir", "refused")
    assert said.code == 3 and "codex-models[lora]" in said.err.replace("-e ", ""), said.err
    assert not (project / "refused").exists()
    plain = without.codex("train", "run.yaml", "trainer.duration=1 steps", "--run-dir", "decoder")
    assert plain.code == 0, plain.err
    assert _train(*asked, "--run-dir", "adapted") == 0
    assert main(["model", "merge", "adapted", "--out", "merged"]) == 0
    assert main(["model", "export-adapter", "adapted", "--out", "alone"]) == 0
    assert "loaded by peft" in capsys.readouterr().err
