"""Models from elsewhere on the command line: trained, resumed, scored, exported with a card, refused when changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("codex_models")
pytest.importorskip("codex_tokenizers")
transformers = pytest.importorskip("transformers")

from codex_core.cli.main import main  # noqa: E402 - after the skips
from tests.support.commands import safety_line  # noqa: E402

pytestmark = pytest.mark.slow

#: The shape of `make-tiny` in the layout of Llama, read by the decoder.
IMPORTED = "{name: decoder, weights: hft, size: nano, scale_embeddings: false, norm_eps: 1.5625e-07}"


def config(model: str) -> str:
    return f"""schema: codex-run/1
run: {{name: example, log_every: 1 steps, threads: 1}}
data:
  sources: [{{name: text, path: corpus.txt, document: paragraph}}]
  split: [0.6, 0.2, 0.2]
  seq_len: 32
tokenizer: {{name: hf, path: hft}}
model: {model}
trainer: {{name: torch, duration: 2 steps, batch_rows: 2, warmup: 1 steps, precision: fp32}}
checkpoint: {{every: 1 steps}}
evaluation: {{every: 2 steps}}
{safety_line()}"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a directory `hft`, trained through transformers (`hf`) and by the decoder (`own`)."""
    path = tmp_path_factory.mktemp("models") / "project"
    (path / ".codex").mkdir(parents=True)
    paragraphs = [f"Document number {number} says {'so ' * (number % 7)}much." for number in range(60)]
    (path / "corpus.txt").write_text("\n\n".join(paragraphs))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        assert main(["-q", "model", "make-tiny", "--out", "hft", "--layout", "llama"]) == 0
        for name, model in (("hf", "{name: hf-causal, weights: hft}"), ("own", IMPORTED)):
            (path / f"{name}.yaml").write_text(config(model))
            assert main(["-q", "train", f"{name}.yaml", "--run-dir", name]) == 0
    return path


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of the project as the working directory."""
    copy = tmp_path / "project"
    shutil.copytree(made, copy)
    monkeypatch.chdir(copy)
    return copy


def losses(run: Path) -> list[float]:
    rows = [json.loads(line) for line in (run / "metrics.ndjson").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def test_a_size_is_locked_as_numbers_and_contradicted_aloud(project, capsys):
    """A plan holds the numbers behind a size; a number beside it that is another one is exit 2 with both."""
    assert main(["plan", "hf.yaml", "model={name: decoder, size: tiny}", "--json"]) == 0
    options = json.loads(capsys.readouterr().out)["lock"]["components"]["model"]["options"]
    assert (options["layers"], options["width"], options["heads"], options["ffn_width"]) == (4, 128, 4, 384)

    assert main(["plan", "hf.yaml", "model={name: decoder, size: tiny, layers: 9}"]) == 2
    said = capsys.readouterr().err
    assert "size=tiny contradicts layers=9 (the size has 4)" in said


def test_both_ways_to_train_a_directory_agree(project):
    """transformers and the decoder begin with the same loss, far into the digits, and go the same way."""
    hf, own = losses(project / "hf"), losses(project / "own")

    assert hf[0] == pytest.approx(own[0], abs=1e-5)
    assert hf[1] == pytest.approx(own[1], abs=1e-4) and hf[1] != hf[0]


@pytest.mark.parametrize("run", ["hf", "own"])
def test_assets_stand_in_the_lock_by_digest(run, project):
    """Weights and tokenizer are locked file by file, with the path as it was written."""
    assets = json.loads((project / run / "lock.json").read_text())["data"]["assets"]

    assert sorted(assets) == ["model.weights", "tokenizer.path"]
    assert assets["model.weights"]["path"] == "hft"
    assert "model.safetensors" in assets["model.weights"]["files"]


@pytest.mark.parametrize("run", ["hf", "own"])
def test_resume_goes_on_from_the_checkpoint(run, project, capsys):
    """More steps are asked for and made; the checkpoints open again."""
    assert main(["-q", "train", f"{run}.yaml", "--resume", run, "trainer.duration=3 steps"]) == 0
    assert len(losses(project / run)) == 3
    capsys.readouterr()

    assert main(["generate", "--model", run, "--temperature", "0", "--max-new-tokens", "3", "Document"]) == 0
    assert capsys.readouterr().out.startswith("Document")


@pytest.mark.parametrize(("change", "code"), [("edit", 7), ("remove", 4)])
def test_resume_refuses_weights_that_changed_or_went(change, code, project, capsys):
    """Other bytes are exit 7 with both digests, an absent folder exit 4; nothing is written."""
    if change == "edit":
        held = json.loads((project / "hft" / "config.json").read_text())
        (project / "hft" / "config.json").write_text(json.dumps({**held, "rms_norm_eps": 0.5}))
    else:
        shutil.rmtree(project / "hft")
    before = (project / "hf" / "lock.json").read_bytes()

    assert main(["-q", "train", "--resume", "hf", "trainer.duration=3 steps"]) in (code, 4)
    assert main(["-q", "train", "--resume", "hf/checkpoints/step-00000001"]) == code
    said = capsys.readouterr().err
    assert "error[PLN-00" in said and "hft" in said
    assert (project / "hf" / "lock.json").read_bytes() == before


def test_a_directory_is_scored_on_data_that_is_named(project, capsys):
    """Without data of its own a directory needs --data; its numbers are those of the imported folder."""
    (data,) = {path for path in (project / ".codex" / "store" / "tokens").iterdir() if path.is_dir()}
    assert main(["evaluate", "--checkpoint", "hft"]) == 4
    assert "error[EVL-011]" in capsys.readouterr().err
    assert main(["-q", "model", "import", "hft", "--out", "imported"]) == 0
    capsys.readouterr()

    values = []
    for name in ("hft", "imported"):
        words = ["-q", "evaluate", "--checkpoint", name, "--data", str(data), "--json"]
        assert main(words) == 0
        metrics = json.loads(capsys.readouterr().out)["metrics"]
        values.append({metric["name"]: metric["value"] for metric in metrics})
    assert values[0] == pytest.approx(values[1], rel=1e-5)


@pytest.mark.parametrize("run", ["hf", "own"])
def test_export_of_a_run_has_a_card_of_facts(run, project, capsys):
    """The card names data, safety counts, numbers with signatures and settings, each as the run's files have it."""
    assert main(["model", "export", run, "--out", "out", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    card = (project / "out" / "README.md").read_text()
    lock = json.loads((project / run / "lock.json").read_text())
    manifest = json.loads((project / run / "checkpoints" / "step-00000002" / "MANIFEST.json").read_text())

    assert f"lock: `{manifest['lock_digest']}`" in card
    assert f"prepared data: `{lock['data']['fingerprint']}`" in card
    assert "documents blocked: 0, redacted: 0" in card and "- split train: " in card
    value = manifest["metrics"]["validation"]["bits_per_byte"]
    assert f"- validation, step 2: bits_per_byte {value:.6g}, signature `" in card
    assert "lr=0.001" in card and "- model.weights: `sha256:" in card
    assert all(line in card for line in said["verification"])
    model = transformers.AutoModelForCausalLM.from_pretrained(project / "out")
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_card_of_a_moved_checkpoint_says_what_is_absent(project):
    """Apart from its run a checkpoint names digests only; the card says that the rest is absent."""
    shutil.copytree(project / "own" / "checkpoints" / "step-00000002", project / "alone" / "step-00000002")
    assert main(["-q", "model", "export", "alone/step-00000002", "--out", "out"]) == 0
    card = (project / "out" / "README.md").read_text()

    assert "further settings: absent" in card and "documents and sources: absent" in card
    assert "counts over the training data: absent" in card and "signature: absent" in card


def test_another_layout_than_that_of_the_checkpoint_is_refused(project, capsys):
    """A checkpoint of transformers has a layout already; the decoder's must hold it."""
    for run in ("hf", "own"):
        assert main(["model", "export", run, "--out", "out", "--layout", "gpt2"]) == 2
        assert "error[MOD-013]" in capsys.readouterr().err
        assert not (project / "out").exists()
