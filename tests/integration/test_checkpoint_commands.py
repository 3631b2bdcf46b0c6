"""`codex checkpoint`: list, inspect, verify, diff, prune, pin, export, lineage, over a run of the core's own n-gram."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from codex_core import checkpoints
from codex_core.cli.main import main
from codex_core.cli.tensor_difference import compare_files
from codex_core.errors import InputError
from tests.support.checkpoint_stores import save, store_in
from tests.support.commands import safety_line
from tests.support.crash_cases import write_corpus

pytestmark = pytest.mark.slow

CONFIG = """\
schema: codex-run/1
run: {name: kept, seed: 3, log_every: 2 steps, threads: 1}
data:
  sources: [{name: text, path: corpus, document: paragraph}]
  split: [0.7, 0.2, 0.1]
  seq_len: 32
tokenizer: bytes
model: {name: ngram, order: 3}
trainer: {name: ngram, duration: 20 steps, batch_rows: 2}
checkpoint: {every: 2 steps, keep_last: 2, keep_best: 2, best_mode: max}
evaluation: {every: 2 steps, max_documents: 4}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a finished run: ten saves, of which the last two and the worst two (best by `max`) are left."""
    folder = tmp_path_factory.mktemp("kept") / "project"
    (folder / ".codex").mkdir(parents=True)
    write_corpus(folder)
    (folder / "run.yaml").write_text(CONFIG + safety_line())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["-q", "train", "run.yaml", "--run-dir", "run"]) == 0
    return folder


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """A copy of the run; its project is the working directory."""
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return Path("run")


def answer(capsys, *words, code=0):
    """The JSON that a command prints."""
    assert main(["-q", "checkpoint", *map(str, words), "--json"]) == code
    value = json.loads(capsys.readouterr().out)
    return value


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_list_tells_what_keeps_each(run, capsys):
    """Ten saves leave the last two and the best two; the pointers and pins of each stand in its row."""
    assert main(["-q", "checkpoint", "pin", "run/checkpoints/step-00000018"]) == 0
    capsys.readouterr()
    told = answer(capsys, "list", run)

    kept = {row["step"]: row["kept_as"] for row in told["checkpoints"]}
    assert kept == {20: ["last"], 18: ["pinned"], 4: [], 2: ["best-bits_per_byte"]}
    assert told["quarantine"] == []


def test_inspect_tells_all_that_is_saved(run, capsys):
    """Counts, cursor, digests, parent, layout, versions, metrics, the best table and the trainer's own state."""
    told = answer(capsys, "inspect", run)

    assert (told["step"], told["position"], told["format"]) == (20, 40, "codex-checkpoint/1")
    assert told["state"].keys() == {"derived_step"} and told["parent"]["path"] == "step-00000018"
    assert told["layout"] == {"processes": 1, "threads": 1, "exactness": "L1"}
    assert [row["step"] for row in told["best"]["table"]] == [2, 4] and told["best"]["mode"] == "max"
    assert told["metrics"]["validation"]["step"] == 20 and told["environment"]["packages"]["codex-core"]
    assert told["config_hash"] and told["lock_digest"] and told["data"]["manifest_digest"] and told["saved"]


def test_diff_of_equal_checkpoints_is_zero(run, capsys):
    """A copy under another name and path is equal, whenever and wherever it was saved."""
    shutil.copytree(run / "checkpoints/step-00000020", "copied")
    told = answer(capsys, "diff", run, "copied")

    assert told["equal"] and told["num_tensors"] == 2 and not told["tensors"] + told["files"]


def test_diff_names_tensors_files_and_fields(run, capsys):
    """Different checkpoints are exit 1, with the tensors, the other files and the state fields that differ."""
    places = ["run/checkpoints/step-00000018", "run/checkpoints/step-00000020"]
    told = answer(capsys, "diff", *places, code=1)

    assert not told["equal"] and {held["name"] for held in told["tensors"]} == {"counts", "ngrams"}
    assert told["state"]["step"] == [18, 20] and told["files"] == ["model/ngram.json"]
    assert main(["-q", "checkpoint", "diff", *places]) == 1
    assert "2 of 2 tensors differ" in capsys.readouterr().out


def test_flipped_bit_is_found_before_anything_uses_it(run, capsys):
    """Verify, diff, export and an asked-for resume refuse it with exit 7; the run itself falls back aloud."""
    damaged = run / "checkpoints/step-00000020"
    flip(damaged / "model/counts.safetensors")
    for words in (["verify", damaged], ["diff", damaged, run], ["export", damaged, "--out", "x"]):
        assert main(["-q", "checkpoint", *map(str, words)]) == 7
        assert "counts.safetensors" in capsys.readouterr().err
    assert main(["-q", "train", "--resume", str(damaged)]) == 7
    assert main(["-q", "checkpoint", "verify", str(run)]) == 0

    said = capsys.readouterr()
    assert "step-00000018" in said.out and "passed over checkpoints/step-00000020" in said.err
    rows = {row["step"]: row["state"] for row in answer(capsys, "list", run)["checkpoints"]}
    assert rows[18] == "ok" and rows[20].startswith("corrupt")


def test_resume_moves_a_corrupt_checkpoint_to_quarantine(run, capsys):
    """The resume that falls back says so, ends with the bytes of before, and keeps the corrupt one out of the way."""
    newest = run / "checkpoints/step-00000020"
    before = (newest / "model/counts.safetensors").read_bytes()
    flip(newest / "state.json")
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    assert main(["train", "--resume", str(run)]) == 0

    said = capsys.readouterr().err
    assert "moved step-00000020 to quarantine/step-00000020-" in said
    assert (newest / "model/counts.safetensors").read_bytes() == before
    (kept,) = answer(capsys, "list", run)["quarantine"]
    told = answer(capsys, "prune", run, "--quarantine")
    assert [Path(path).name for path in told["pruned"]] == [Path(kept).name] and not Path(kept).exists()


def test_prune_follows_the_rule_of_the_run(run, capsys):
    """What the lock would not keep goes; `--dry-run` only says so; a pinned one stays; pointers still hold."""
    root = run / "checkpoints"
    lock = json.loads((run / "lock.json").read_text())
    lock["config"]["checkpoint"] |= {"keep_last": 1, "keep_best": 1}
    (run / "lock.json").write_text(json.dumps(lock))
    assert main(["-q", "checkpoint", "pin", str(root / "step-00000004")]) == 0
    capsys.readouterr()
    dry = answer(capsys, "prune", run, "--dry-run")
    assert len(checkpoints.committed(root)) == 4
    told = answer(capsys, "prune", run)

    assert dry["pruned"] == told["pruned"] and [Path(path).name for path in told["pruned"]] == [
        "step-00000018"
    ]
    assert sorted(checkpoints.committed(root)) == [2, 4, 20]
    assert json.loads((root / "best-bits_per_byte.json").read_bytes())["step"] == 2
    assert main(["-q", "checkpoint", "unpin", str(root / "step-00000004")]) == 0
    capsys.readouterr()
    assert [Path(path).name for path in answer(capsys, "prune", run)["pruned"]] == ["step-00000004"]


def test_prune_keeps_everything_when_nothing_verifies(run, capsys):
    """Without a newest checkpoint that verifies nothing is removed: exit 7."""
    for path in run.glob("checkpoints/step-*/state.json"):
        flip(path)

    assert main(["-q", "checkpoint", "prune", str(run)]) == 7
    assert len(checkpoints.committed(run / "checkpoints")) == 4 and "CKP-005" in capsys.readouterr().err


def test_prune_refuses_a_run_that_somebody_works_on(run, capsys):
    """A run with a living process keeps its checkpoints to itself: exit 7."""
    from codex_core.runs import RunDir

    with RunDir.open(run).claim():
        assert main(["-q", "checkpoint", "prune", str(run)]) == 7
    assert "RUN-003" in capsys.readouterr().err


def test_pin_refuses_what_nothing_would_prune(run, capsys):
    """A copied checkpoint is not among those of a run."""
    shutil.copytree(run / "checkpoints/step-00000020", "copied")

    assert main(["-q", "checkpoint", "pin", "copied"]) == 2
    assert "CKP-010" in capsys.readouterr().err


def test_exported_model_opens_and_says_the_same(run, capsys):
    """The folder has model and tokenizer, verifies, generates what the run generates, and resumes nothing."""
    told = answer(capsys, "export", run, "--out", "out/model")

    files = {
        path.relative_to("out/model").parts[0] for path in Path("out/model").rglob("*") if path.is_file()
    }
    assert (
        files == {"MANIFEST.json", "model", "tokenizer"} and told["exported_from"]["path"] == "step-00000020"
    )
    said = []
    for place in ("run", "out/model"):
        assert main(["-q", "generate", "--model", place, "--max-new-tokens", "6", "Paragraph"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and said[0].startswith("Paragraph")
    assert main(["-q", "checkpoint", "verify", "out/model"]) == 0
    assert main(["-q", "checkpoint", "export", "out/model", "--out", "again"]) == 0
    capsys.readouterr()
    assert main(["-q", "checkpoint", "export", "run", "--out", "out/model"]) == 4
    assert "CKP-009" in capsys.readouterr().err
    flip(Path("out/model/model/counts.safetensors"))
    assert main(["-q", "generate", "--model", "out/model", "x"]) == 7


def test_export_of_a_full_disk_leaves_nothing(run, capsys, monkeypatch):
    """A disk that fills is an input error, and no half of a folder stays."""
    from codex_core.running import exporting
    from tests.support.faulty_files import FaultyFiles

    found = checkpoints.newest(run / "checkpoints")
    counting = FaultyFiles()
    exporting.export(found, Path("whole"), files=counting)
    for at in range(1, len(counting.done) + 1):
        with pytest.raises(InputError, match="could not be exported"):
            exporting.export(found, Path("half"), files=FaultyFiles(at=at, mode="full"))
        left = [path.name for path in Path().glob("half*") if ".tmp-" in path.name]
        assert left == []
        shutil.rmtree("half", ignore_errors=True)


def test_lineage_reaches_step_zero_over_what_is_gone(run, capsys):
    """Ten saves, six of them pruned: the journal still names each by step, digest and attempt."""
    told = answer(capsys, "lineage", run)

    assert told["complete"] and [one["step"] for one in told["ancestors"]] == list(range(20, 0, -2))
    states = {one["step"]: one["state"] for one in told["ancestors"]}
    assert {step for step, state in states.items() if state == "here"} == {20, 18, 4, 2}
    assert all(one["digest"].startswith("sha256:") and one["attempt"] == 1 for one in told["ancestors"])


def test_lineage_crosses_attempts(run, capsys):
    """After a resume from step 18 the new step 20 names the old step 18, of attempt 1."""
    assert main(["-q", "train", "run.yaml", "--resume", str(run), "trainer.duration=24 steps"]) == 0
    capsys.readouterr()
    told = answer(capsys, "lineage", run)

    attempts = {one["step"]: one["attempt"] for one in told["ancestors"]}
    assert told["complete"] and attempts[24] == attempts[22] == 2 and attempts[20] == attempts[2] == 1


def test_lineage_of_a_copy_ends_aloud(run, capsys):
    """A checkpoint without its run shows its parent, and says that the rest is not to be seen from there: exit 1."""
    shutil.copytree(run / "checkpoints/step-00000020", "copies/step-00000020")
    told = answer(capsys, "lineage", "copies/step-00000020", code=1)

    assert [one["step"] for one in told["ancestors"]] == [20, 18] and "no journal" in told["problem"]


def test_lineage_finds_a_manifest_that_disagrees_with_the_journal(tmp_path, monkeypatch, capsys):
    """A checkpoint whose manifest names another parent than the journal is exit 1."""
    store = store_in(tmp_path / "run")
    for step in (10, 20):
        save(store, step)
    row = {"sequence": 1, "time": "t", "attempt": 1, "kind": "checkpoint_saved", "prev": None}
    digest = checkpoints.newest(store.root).digest
    row["fields"] = {"step": 20, "path": "checkpoints/step-00000020", "manifest_digest": digest}
    (tmp_path / "run/journal").mkdir()
    (tmp_path / "run/journal/r0-a1-000001.ndjson").write_text(json.dumps(row) + "\n")
    monkeypatch.chdir(tmp_path)

    told = answer(capsys, "lineage", "run/checkpoints/step-00000020", code=1)
    assert "the manifest of step 20 names sha256:" in told["problem"]


def test_tensors_are_compared_by_their_bits(tmp_path):
    """Equal NaN are equal, signed zeros are not; shapes, dtypes and absent tensors are named; sizes in bf16, too."""
    from safetensors.numpy import save_file

    one = {
        "same": np.array([np.nan, 1.0], dtype=np.float32),
        "zero": np.zeros(3, dtype=np.float32),
        "shape": np.zeros((2, 2)),
        "dtype": np.zeros(2, dtype=np.int64),
        "gone": np.zeros(1),
        "far": np.arange(4, dtype=np.float64),
    }
    other = {**one, "zero": -one["zero"], "shape": np.zeros(4), "dtype": np.zeros(2, dtype=np.int32)}
    other["far"] = one["far"] + np.array([0, 0, 0.5, 4.0])
    other["new"] = other.pop("gone")
    save_file(one, tmp_path / "a.safetensors")
    save_file(other, tmp_path / "b.safetensors")

    num, found = compare_files("x", tmp_path / "a.safetensors", tmp_path / "b.safetensors")

    told = {held.name: (held.why, held.num_different, held.largest) for held in found}
    assert num == 7 and told == {
        "zero": ("values", 3, 0.0),
        "shape": ("shape 2x2 and 4", None, None),
        "dtype": ("dtype I64 and I32", None, None),
        "gone": ("only in the first", None, None),
        "new": ("only in the second", None, None),
        "far": ("values", 2, 4.0),
    }


def test_bf16_differences_have_a_size(tmp_path):
    """Tensors of a dtype that arrays do not know are compared and measured all the same."""
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    for name, values in (("a", (0x3F80, 0x4000)), ("b", (0x3F80, 0x4080))):  # 1, 2 and 1, 4
        body = np.array(values, dtype=np.uint16).tobytes()
        (tmp_path / name).write_bytes(len(header).to_bytes(8, "little") + header + body)

    _, (held,) = compare_files("x", tmp_path / "a", tmp_path / "b")

    assert (held.num_different, held.num_values, held.largest) == (1, 2, 2.0)
