"""Every option of ours: changing it changes the configuration's hash, and something that can be observed.

The tables below list, per key, a change and where it shows; a key that is added without a row fails the first test.
What shows is taken from a run that is trained, from the component that is built with the option, or it is the refusal
of the change.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from codex_core import config
from codex_core.cli.config_doc import component_fields, section_fields
from codex_core.cli.main import main
from codex_core.contracts import RunInfo
from codex_core.errors import CodexError
from codex_core.planning.structuring import options_from
from tests.support.commands import Project, safety_line
from tests.support.our_plugins import our_registry
from tests.support.skips import is_installed

RUN = """\
run: {name: small, log_every: 1, threads: 1}
data:
  sources: [{name: text, path: corpus.txt, document: paragraph}]
  split: [0.6, 0.2, 0.2]
  seq_len: 32
tokenizer: bytes
model: {name: ngram, order: 3}
trainer: {name: ngram, duration: 1 epoch, batch_rows: 4}
checkpoint: {every: 2}
evaluation: {every: 2}
"""


class Shown(NamedTuple):
    """A change, as overrides of RUN, and the part of the trained run in which it shows, or `refused`."""

    change: tuple[str, ...]
    part: str
    base: tuple[str, ...] = ()


def shown(change: str, part: str, *base: str) -> Shown:
    return Shown((change,), part, base)


#: Keys of sections.
SECTIONS = {
    "schema": shown("schema=codex-run/2", "refused"),
    "run.name": shown("run.name=other", "name"),
    "run.seed": shown("run.seed=5", "metrics"),
    "run.exactness": shown("run.exactness=L0", "exactness"),
    "run.threads": shown("run.threads=2", "threads"),
    "run.digest_every": shown("run.digest_every=0", "digests"),
    "run.max_rollbacks": shown("run.max_rollbacks=1", "max_rollbacks"),
    "run.log_every": shown("run.log_every=3", "metrics"),
    "data.sources": shown("data.sources=[{name: text, path: other.txt, document: paragraph}]", "metrics"),
    "data.split": shown("data.split=[0.5, 0.25, 0.25]", "metrics"),
    "data.split_seed": shown("data.split_seed=1", "metrics"),
    "data.split_by": shown("data.split_by=index", "metrics"),
    "data.seq_len": shown("data.seq_len=48", "metrics"),
    "data.packing": shown("data.packing=fit", "metrics"),
    "data.weights": shown("data.weights=[1]", "metrics"),
    "data.dedup": shown("data.dedup=none", "metrics"),
    "data.unsupervised": shown(
        "data.unsupervised=refuse",
        "refused",
        "data.sources=[{name: jsonl, path: unlearned.jsonl, form: messages}]",
    ),
    "data.order_seed": shown("data.order_seed=9", "metrics"),
    "data.shard_bytes": shown("data.shard_bytes=1024", "shards"),
    "tokenizer": shown("tokenizer=none", "refused"),
    "model": shown("model=decoder", "refused"),
    "trainer": shown("trainer=torch", "refused"),
    "checkpoint.every": shown("checkpoint.every=5", "checkpoints"),
    "checkpoint.keep_last": shown("checkpoint.keep_last=1", "checkpoints"),
    "checkpoint.keep_best": shown("checkpoint.keep_best=3", "checkpoints"),
    "checkpoint.best_metric": shown(
        "checkpoint.best_metric=perplexity", "checkpoints", "evaluation.metrics=[bits_per_byte, perplexity]"
    ),
    "checkpoint.best_mode": shown("checkpoint.best_mode=max", "checkpoints"),
    "checkpoint.keep_every": shown("checkpoint.keep_every=2", "checkpoints"),
    "checkpoint.keep_for": shown("checkpoint.keep_for=0", "checkpoints"),
    "checkpoint.asynchronous": shown("checkpoint.asynchronous=false", "asynchronous"),
    "evaluation.every": shown("evaluation.every=3", "metrics"),
    "evaluation.split": shown("evaluation.split=test", "metrics"),
    "evaluation.metrics": shown("evaluation.metrics=[perplexity]", "metrics"),
    "evaluation.max_documents": shown("evaluation.max_documents=1", "metrics"),
    "writers": shown("writers=[csv]", "writers"),
    "safety": shown("safety={name: none, reason: another}", "safety"),
    "telemetry.system_metrics": shown("telemetry.system_metrics=cpu", "system"),
    "telemetry.system_interval_s": shown(
        "telemetry.system_interval_s=9", "telemetry", "telemetry.system_metrics=cpu"
    ),
    "plugins.pins": shown("plugins.pins={models/ngram: codex-models}", "refused"),
    "plugins.only": shown("plugins.only=[absent-plugin]", "refused"),
    "plugins.off": shown("plugins.off=[ngram]", "refused"),
}

#: Options of components that show in a trained run.
IN_RUNS = {
    ("codex-core/ngram", "model.order"): shown("model.order=2", "metrics"),
    ("codex-core/ngram", "trainer.duration"): shown("trainer.duration=2 epochs", "metrics"),
    ("codex-core/ngram", "trainer.batch_rows"): shown("trainer.batch_rows=8", "metrics"),
    ("codex-core/csv", "writers[].path"): shown(
        "writers=[{name: csv, path: a.csv}]", "writers", "writers=[csv]"
    ),
    ("codex-core/ndjson", "writers[].path"): shown(
        "writers=[{name: ndjson, path: a.ndjson}]", "writers", "writers=[ndjson]"
    ),
    ("codex-core/text", "data.sources[].path"): shown("data.sources[0].path=other.txt", "metrics"),
    ("codex-core/text", "data.sources[].document"): shown("data.sources[0].document=file", "refused"),
    ("codex-tokenizers/bpe", "tokenizer.vocab_size"): shown(
        "tokenizer.vocab_size=260", "tokenizer", "tokenizer=bpe"
    ),
    ("codex-tokenizers/bpe", "tokenizer.min_frequency"): shown(
        "tokenizer.min_frequency=10000", "tokenizer", "tokenizer=bpe"
    ),
    ("codex-tokenizers/bpe", "tokenizer.path"): shown("tokenizer.path=saved", "tokenizer", "tokenizer=bpe"),
}


class Built(NamedTuple):
    """Options of a component as they are and as they are changed, and what is built or done with both."""

    change: Mapping[str, Any]
    seen: str
    base: Mapping[str, Any] = {}


TEXT = {"path": "texts"}
JSONL = {"path": "rows"}
MUON = {"optimizer": "muon"}
LENIENT = {"on_nonfinite": "skip"}
PATIENT = {**LENIENT, "patience": 2, "patience_metric": "a"}
CLOSED = "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ eos_token }}{% endfor %}"
PIECES = {"vocab_size": 300}
MODEL_FOLDER = {"path": "model-folder"}

CHATS = {"form": "messages"}
SKIPPING = {"on_error": "skip"}
ASKING = {"form": "prompt_completion"}


def row_options(owner: str, suffix: str) -> dict[tuple[str, str], Built]:
    """What the options that all readers of rows share do to files `asked`, `chats` and `odd` with a suffix."""
    asked, odd = {"path": f"asked{suffix}"}, {"path": f"odd{suffix}"}
    rows = {
        "path": Built({"path": f"chats{suffix}"}, "documents", asked),
        "form": Built(ASKING, "documents", asked),
        "field": Built({"field": "prompt"}, "documents", asked),
        "fields": Built({"fields": {"prompt": "text"}}, "documents", {**asked, **ASKING}),
        "group": Built({"group": "prompt"}, "documents", asked),
        "on_error": Built({"on_error": "fail"}, "documents", {**odd, **SKIPPING}),
        "max_skip": Built({"max_skip": 0}, "documents", {**odd, **SKIPPING}),
        "learn": Built({"learn": "last"}, "documents", {"path": f"chats{suffix}", **CHATS}),
    }
    return {(owner, f"data.sources[].{name}"): built for name, built in rows.items()}


def sources(owner: str, base: Mapping[str, Any], **changes: Any) -> dict[tuple[str, str], Built]:
    """One changed option of a dataset each, over the same base."""
    return {
        (owner, f"data.sources[].{name}"): Built({name: value}, "documents", base)
        for name, value in changes.items()
    }


#: A decoder with an adapter over the model in `base`.
ADAPTED = {"weights": "base", "lora": {"r": 2}}

HF = {"weights": "hf-a"}
HF_ADAPTED = {**HF, "lora": {"r": 2}}

#: Options of components that show in what is built with them.
IN_OBJECTS = {
    **row_options("codex-core/jsonl", ".jsonl"),
    **row_options("codex-core/csv", ".csv"),
    **row_options("codex-core/parquet", ".parquet"),
    **row_options("codex-core/hf-saved", ".saved"),
    **sources("codex-core/jsonl", {"path": "nested.jsonl"}, max_nesting=1, max_line_bytes=9),
    **sources("codex-core/jsonl", {"path": "packed.jsonl", "max_expansion": 2000}, max_expansion=2),
    **sources("codex-core/jsonl", JSONL, glob="b.*"),
    **sources("codex-core/csv", {"path": "asked.csv"}, delimiter=";", max_line_bytes=9),
    **sources("codex-core/csv", {"path": "packed.csv", "max_expansion": 2000}, max_expansion=2),
    # A table holds no conversation, so `learn` has nothing to choose from: the form that it goes with is refused.
    ("codex-core/csv", "data.sources[].learn"): Built(
        CHATS, "documents", {"path": "asked.csv", "learn": "last"}
    ),
    **sources("codex-core/csv", {"path": "tables"}, glob="b.*"),
    **sources("codex-core/parquet", {"path": "tables"}, glob="b.*"),
    **sources("codex-core/hf-saved", {"path": "splits.saved", "split": "a"}, split="b"),
    **sources("codex-core/text", {"path": "packed.jsonl", "max_expansion": 2000}, max_expansion=2),
    **sources("codex-core/text", {"path": "corpus.txt", "document": "line"}, max_line_bytes=9),
    **sources("codex-core/text", {"path": "tree", "glob": "*", **SKIPPING}, on_error="fail", max_skip=0),
    **sources(
        "codex-core/directory",
        {"path": "tree", **SKIPPING},
        path="rows",
        include=["*.md"],
        exclude=["b.txt"],
        on_error="fail",
        max_skip=0,
        max_file_bytes=3,
    ),
    **sources("codex-core/directory", {"path": "binary", "binary": "skip"}, binary="fail"),
    ("codex-core/pydoc", "data.sources[].form"): Built({"form": "instruction"}, "documents"),
    ("codex-core/pydoc", "data.sources[].topics"): Built({"topics": False}, "files"),
    ("codex-core/pydoc", "data.sources[].docstrings"): Built({"docstrings": False}, "files"),
    ("codex-core/pydoc", "data.sources[].sources"): Built({"sources": True}, "documents", {"topics": False}),
    ("codex-core/text", "data.sources[].glob"): Built({"glob": "*.md"}, "documents", TEXT),
    ("codex-models/decoder", "model.layers"): Built({"layers": 1}, "model"),
    ("codex-models/decoder", "model.width"): Built({"width": 8}, "model"),
    ("codex-models/decoder", "model.heads"): Built({"heads": 1}, "model"),
    ("codex-models/decoder", "model.size"): Built(
        {"size": "tiny", "layers": 4, "width": 128, "heads": 4}, "model"
    ),
    ("codex-models/decoder", "model.kv_heads"): Built({"kv_heads": 1}, "model"),
    ("codex-models/decoder", "model.width_per_head"): Built({"width_per_head": 4}, "model"),
    ("codex-models/decoder", "model.positions"): Built(
        {"positions": "learned"}, "model", {"context_length": 64}
    ),
    ("codex-models/decoder", "model.activation"): Built({"activation": "gelu"}, "model"),
    ("codex-models/decoder", "model.norm"): Built({"norm": "layer"}, "model"),
    ("codex-models/decoder", "model.biases"): Built({"biases": "qkv"}, "model"),
    ("codex-models/decoder", "model.qk_norm"): Built({"qk_norm": True}, "model"),
    ("codex-models/decoder", "model.weights"): Built({"weights": "no-such-folder"}, "model"),
    ("codex-models/hf-causal", "model.weights"): Built({"weights": "hf-b"}, "opened", HF),
    ("codex-models/hf-causal", "model.context_length"): Built({"context_length": 40}, "opened", HF),
    ("codex-models/hf-causal", "model.dtype"): Built({"dtype": "bfloat16"}, "opened", HF),
    ("codex-models/decoder", "model.ffn_width"): Built({"ffn_width": 16}, "model"),
    ("codex-models/decoder", "model.context_length"): Built({"context_length": 64}, "context"),
    ("codex-models/decoder", "model.tied_embeddings"): Built({"tied_embeddings": False}, "model"),
    ("codex-models/decoder", "model.scale_embeddings"): Built({"scale_embeddings": False}, "model"),
    ("codex-models/decoder", "model.dropout"): Built({"dropout": 0.5}, "model"),
    ("codex-models/decoder", "model.rope_theta"): Built({"rope_theta": 10.0}, "model"),
    ("codex-models/decoder", "model.norm_eps"): Built({"norm_eps": 0.1}, "model"),
    ("codex-models/torch", "trainer.duration"): Built({"duration": "900 steps"}, "steps"),
    ("codex-models/torch", "trainer.warmup"): Built({"warmup": "9 steps"}, "steps"),
    **{
        ("codex-models/hf-causal", f"model.lora.{name}"): Built(
            {"lora": {"r": 2, name: value}}, "files_of", HF_ADAPTED
        )
        for name, value in {
            "r": 3,
            "alpha": 1,
            "dropout": 0.5,
            "rslora": True,
            "targets": ["q_proj"],
            "bias": "all",
        }.items()
    },
    ("codex-models/hf-causal", "model.lora"): Built({"lora": {"r": 2}}, "files_of", HF),
    ("codex-models/hf-causal", "model.lora.task_type"): Built(
        {"lora": {"r": 2, "task_type": "SEQ_CLS"}}, "refused", HF_ADAPTED
    ),
    ("codex-models/decoder", "model.lora"): Built({"lora": {"r": 2}}, "adapted", {"weights": "base"}),
    ("codex-models/decoder", "model.lora.r"): Built({"lora": {"r": 3}}, "adapted", ADAPTED),
    ("codex-models/decoder", "model.lora.alpha"): Built({"lora": {"r": 2, "alpha": 1}}, "adapted", ADAPTED),
    ("codex-models/decoder", "model.lora.dropout"): Built(
        {"lora": {"r": 2, "dropout": 0.5}}, "adapted", ADAPTED
    ),
    ("codex-models/decoder", "model.lora.rslora"): Built(
        {"lora": {"r": 2, "rslora": True}}, "adapted", ADAPTED
    ),
    ("codex-models/decoder", "model.lora.targets"): Built(
        {"lora": {"r": 2, "targets": ["q_proj"]}}, "adapted", ADAPTED
    ),
    ("codex-models/decoder", "model.lora.bias"): Built(
        {"lora": {"r": 2, "bias": "all"}}, "adapted", {**ADAPTED, "biases": "qkv"}
    ),
    ("codex-models/decoder", "model.lora.task_type"): Built(
        {"lora": {"r": 2, "task_type": "SEQ_CLS"}}, "refused", ADAPTED
    ),
    ("codex-models/torch", "trainer.batch_rows"): Built({"batch_rows": 8}, "weights"),
    ("codex-models/torch", "trainer.micro_batch_rows"): Built({"micro_batch_rows": 1}, "reads"),
    ("codex-models/torch", "trainer.optimizer"): Built(MUON, "weights"),
    ("codex-models/torch", "trainer.lr"): Built({"lr": 1e-4}, "weights"),
    ("codex-models/torch", "trainer.muon_lr"): Built({"muon_lr": 1e-4}, "weights", MUON),
    ("codex-models/torch", "trainer.muon_momentum"): Built({"muon_momentum": 0.5}, "weights", MUON),
    ("codex-models/torch", "trainer.min_lr_ratio"): Built({"min_lr_ratio": 0.9}, "weights"),
    ("codex-models/torch", "trainer.weight_decay"): Built({"weight_decay": 0.9}, "weights"),
    ("codex-models/torch", "trainer.beta1"): Built({"beta1": 0.5}, "weights"),
    ("codex-models/torch", "trainer.beta2"): Built({"beta2": 0.5}, "weights"),
    ("codex-models/torch", "trainer.eps"): Built({"eps": 1e-2}, "weights"),
    ("codex-models/torch", "trainer.clip"): Built({"clip": 1e-3}, "weights"),
    ("codex-models/torch", "trainer.precision"): Built(
        {"precision": "bf16"}, "weights", {"precision": "fp32"}
    ),
    ("codex-models/torch", "trainer.device"): Built({"device": "cuda"}, "weights"),
    ("codex-models/torch", "trainer.schedule"): Built({"schedule": "constant"}, "weights"),
    ("codex-models/torch", "trainer.decay_share"): Built(
        {"decay_share": 0.9}, "weights", {"schedule": "wsd"}
    ),
    ("codex-models/torch", "trainer.compile"): Built({"compile": "on"}, "begun"),
    ("codex-models/torch", "trainer.activation_checkpointing"): Built(
        {"activation_checkpointing": "blocks"}, "begun"
    ),
    ("codex-models/torch", "trainer.ema"): Built({"ema": 0.5}, "weights"),
    ("codex-models/torch", "trainer.on_nonfinite"): Built({"on_nonfinite": "stop"}, "ending", LENIENT),
    ("codex-models/torch", "trainer.max_nonfinite"): Built({"max_nonfinite": 1}, "ending", LENIENT),
    ("codex-models/torch", "trainer.patience"): Built({"patience": 1, **LENIENT}, "ending", LENIENT),
    ("codex-models/torch", "trainer.patience_metric"): Built({"patience_metric": "b"}, "ending", PATIENT),
    ("codex-models/torch", "trainer.patience_mode"): Built({"patience_mode": "max"}, "ending", PATIENT),
    ("codex-models/torch", "trainer.min_delta"): Built({"min_delta": 2.0}, "ending", PATIENT),
    ("codex-safety/secrets", "safety.action"): Built({"action": "block"}, "decision"),
    ("codex-safety/secrets", "safety.off"): Built({"off": ["aws-access-key-id"]}, "decision"),
    ("codex-tokenizers/bpe", "tokenizer.special_tokens"): Built({"special_tokens": ["<x>"]}, "tokenizer"),
    ("codex-tokenizers/bpe", "tokenizer.template"): Built({"template": "chatml"}, "tokenizer"),
    ("codex-tokenizers/sentencepiece", "tokenizer.vocab_size"): Built(
        {"vocab_size": 280}, "tokenizer", PIECES
    ),
    ("codex-tokenizers/sentencepiece", "tokenizer.model"): Built({"model": "bpe"}, "tokenizer", PIECES),
    ("codex-tokenizers/sentencepiece", "tokenizer.coverage"): Built({"coverage": 0.9}, "tokenizer", PIECES),
    ("codex-tokenizers/sentencepiece", "tokenizer.normaliser"): Built(
        {"normaliser": "nfkc"}, "tokenizer", PIECES
    ),
    ("codex-tokenizers/sentencepiece", "tokenizer.byte_fallback"): Built(
        {"byte_fallback": False}, "tokenizer", PIECES
    ),
    ("codex-tokenizers/sentencepiece", "tokenizer.special_tokens"): Built(
        {"special_tokens": ["<x>"]}, "tokenizer", PIECES
    ),
    ("codex-tokenizers/sentencepiece", "tokenizer.template"): Built(
        {"template": "chatml"}, "tokenizer", PIECES
    ),
    ("codex-tokenizers/sentencepiece", "tokenizer.path"): Built({"path": "absent"}, "tokenizer", PIECES),
    ("codex-tokenizers/whitespace", "tokenizer.vocab_size"): Built({"vocab_size": 6}, "tokenizer"),
    ("codex-tokenizers/whitespace", "tokenizer.min_frequency"): Built({"min_frequency": 9}, "tokenizer"),
    ("codex-tokenizers/whitespace", "tokenizer.special_tokens"): Built(
        {"special_tokens": ["<x>"]}, "tokenizer"
    ),
    ("codex-tokenizers/whitespace", "tokenizer.template"): Built({"template": "chatml"}, "tokenizer"),
    ("codex-tokenizers/whitespace", "tokenizer.path"): Built({"path": "absent"}, "tokenizer"),
    ("codex-tokenizers/hf", "tokenizer.path"): Built({"path": "absent"}, "tokenizer", MODEL_FOLDER),
    ("codex-tokenizers/hf", "tokenizer.template"): Built({"template": "own"}, "tokenizer", MODEL_FOLDER),
    ("codex-tokenizers/hf", "tokenizer.bos"): Built({"bos": "he"}, "tokenizer", MODEL_FOLDER),
    ("codex-tokenizers/hf", "tokenizer.eos"): Built({"eos": "he"}, "tokenizer", MODEL_FOLDER),
    ("codex-tokenizers/hf", "tokenizer.pad"): Built({"pad": "he"}, "tokenizer", MODEL_FOLDER),
    ("codex-telemetry/tensorboard", "writers[].group_by"): Built({"group_by": "metric"}, "events"),
}

REGISTRY = our_registry()
FIELDS = [(field.owner, field.path) for field in component_fields(REGISTRY)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with two corpora, rows, texts and the configuration; the working directory of every test here."""
    project = Project.make(tmp_path_factory.mktemp("options") / "project")
    paragraphs = [f"Document number {number} says {'so ' * (number % 7)}much." for number in range(60)]
    (project.path / "corpus.txt").write_text("\n\n".join([*paragraphs, *paragraphs[:20]]))
    (project.path / "other.txt").write_text("\n\n".join(text.replace("says", "tells") for text in paragraphs))
    for folder, suffix in (("texts", "txt"), ("texts", "md"), ("rows", "jsonl")):
        (project.path / folder).mkdir(exist_ok=True)
        for name in "ab":
            row = {"text": f"text {name} of {suffix}", "title": f"title {name}"}
            (project.path / folder / f"{name}.{suffix}").write_text(json.dumps(row) + "\n")
    (project.path / "run.yaml").write_text(RUN + safety_line())
    write_rows(project.path)
    return project.path


def write_rows(folder: Path) -> None:
    """Rows with all fields, conversations, and rows one of which cannot be read, for every reader."""
    said = [("user", "q"), ("assistant", "a"), ("user", "r"), ("assistant", "b")]
    chat = {"messages": [{"role": role, "content": text} for role, text in said]}
    asked = {"text": "t", "prompt": "p", "completion": "c"}
    files = {
        "asked.jsonl": json.dumps(asked),
        "chats.jsonl": json.dumps(chat),
        "odd.jsonl": '{"text": "even"}\n{"text": null}',
        "nested.jsonl": '{"text": "t", "more": {}}',
        "unlearned.jsonl": "\n".join(
            [json.dumps({"messages": chat["messages"][:1]})]
            + [
                json.dumps({"messages": [*chat["messages"], {"role": "user", "content": str(i)}]})
                for i in range(60)
            ]
        ),
        "asked.csv": ",".join(asked) + "\n" + ",".join(asked.values()),
        "chats.csv": "text\nothers\n",
        "odd.csv": "text,n\neven,1\nodd\n",
        "tables/a.csv": "text\na\n",
        "tables/b.csv": "text\nb\n",
        "tree/a.txt": "text\n",
        "tree/b.txt": "other text\n",
        "tree/c.md": "# Title\n",
        "binary/a.txt": "text\n",
        "binary/b": "\0",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "tree" / "odd").write_bytes(b"\xff")
    blank = " " * 2_000_000
    (folder / "packed.jsonl").write_bytes(gzip.compress(json.dumps({"text": f"a{blank}"}).encode()))
    (folder / "packed.csv").write_bytes(gzip.compress(f"text\na{blank}\n".encode()))
    if is_installed("pyarrow"):
        _write_tables(folder, {"asked": [asked], "chats": [chat], "odd": [{"text": "even"}, {"text": None}]})


def _write_tables(folder: Path, tables: Mapping[str, list[dict[str, Any]]]) -> None:
    import pyarrow
    import pyarrow.parquet as pq

    def save(rows: list[dict[str, Any]], path: Path) -> None:
        path.mkdir(parents=True)
        table = pyarrow.Table.from_pylist(rows)
        with pyarrow.ipc.new_stream(str(path / "rows.arrow"), table.schema) as stream:
            stream.write_table(table)
        (path / "state.json").write_text('{"_data_files": [{"filename": "rows.arrow"}]}')

    for name, rows in tables.items():
        pq.write_table(pyarrow.Table.from_pylist(rows), folder / f"{name}.parquet")
        save(rows, folder / f"{name}.saved")
    for name in "ab":
        pq.write_table(pyarrow.table({"text": [name]}), folder / "tables" / f"{name}.parquet")
        save([{"text": name}], folder / "splits.saved" / name)
    (folder / "splits.saved" / "dataset_dict.json").write_text('{"splits": ["a", "b"]}')


@pytest.fixture(autouse=True)
def in_project(project, monkeypatch):
    monkeypatch.chdir(project)


def test_every_key_has_a_row():
    """Keys of sections and options of components are those of the tables, as far as the components are installed."""
    assert [field.path for field in section_fields()] == sorted(
        SECTIONS, key=[field.path for field in section_fields()].index
    )
    rows = IN_RUNS.keys() | IN_OBJECTS.keys()
    assert set(FIELDS) <= rows
    here = {row.id for row in REGISTRY.rows}
    assert {row for row in rows if row[0] in here} == set(FIELDS)


# ---- what shows in runs


@pytest.fixture(scope="module")
def observed(project, tmp_path_factory):
    """A function that trains RUN with overrides and tells what there is to see; equal questions are asked once."""
    held: dict[tuple[str, ...], dict[str, Any]] = {}

    def observe(*overrides: str) -> dict[str, Any]:
        if overrides not in held:
            path = project / f"run-{len(held)}"
            code = main(["-q", "train", "run.yaml", *overrides, "--run-dir", str(path)])
            held[overrides] = _seen(path) if code == 0 else {"refused": code}
        return held[overrides]

    return observe


def _seen(run: Path) -> dict[str, Any]:
    lock = json.loads((run / "lock.json").read_text())
    return {
        "name": json.loads((run / "run.json").read_text())["name"],
        "exactness": lock["exactness"],
        "threads": lock["threads"],
        "tokenizer": lock["data"]["tokenizer"],
        "safety": lock["components"]["safety"],
        "telemetry": lock["config"]["telemetry"],
        "metrics": (run / "metrics.csv").read_text(),
        "shards": len(json.loads((run / "data.json").read_text())["manifest"]["shards"]),
        "checkpoints": sorted(path.name for path in run.glob("checkpoints/*")),
        "asynchronous": lock["config"]["checkpoint"]["asynchronous"],
        "writers": {path.relative_to(run).as_posix() for path in run.rglob("*.*sv")}
        | {path.relative_to(run).as_posix() for path in run.rglob("*.ndjson") if "journal" not in path.parts},
        "system": (run / "system.ndjson").exists(),
        "max_rollbacks": lock["config"]["run"]["max_rollbacks"],
        "digests": (run / "journal" / "r0-a1-000001.ndjson").read_text().count('"step_digest"'),
    }


RUNS = {**SECTIONS, **{f"{owner}:{path}": row for (owner, path), row in IN_RUNS.items()}}


@pytest.mark.slow
@pytest.mark.parametrize("key", RUNS)
def test_a_changed_option_shows_in_the_run(key, observed, project):
    """The run with the change differs in the part that the table names, or the change is refused."""
    row = RUNS[key]
    if key.startswith("codex-tokenizers"):
        pytest.importorskip("codex_tokenizers")
        _save_tokenizer(project / "saved")
    if key.startswith("telemetry."):
        pytest.importorskip("codex_telemetry")
    before, after = observed(*row.base), observed(*row.base, *row.change)
    assert "refused" not in before
    if row.part == "refused" or (key == "safety" and "refused" in after):
        assert after["refused"] in (2, 3, 4), "a refusal is an error that a user can act on"
    else:
        assert before[row.part] != after[row.part]


def _save_tokenizer(folder: Path) -> None:
    from codex_tokenizers.bpe import BPE
    from codex_tokenizers.options import BPEOptions

    if not folder.exists():
        folder.mkdir()
        BPE.train(["much so so much"] * 9, BPEOptions(vocab_size=262), seed=0).save(folder)


@pytest.mark.parametrize("key", RUNS)
def test_a_changed_value_of_a_run_changes_the_hash(key):
    """The hash differs with every change that is accepted; plugins alone are not part of the meaning."""
    row = RUNS[key]
    before = config.load(Path("run.yaml"), row.base, registry=REGISTRY).hash()
    try:
        after = config.load(Path("run.yaml"), [*row.base, *row.change], registry=REGISTRY).hash()
    except CodexError:
        assert row.part == "refused"
        return
    assert (before == after) == key.startswith("plugins.")


# ---- what shows in objects


@pytest.mark.parametrize(("owner", "path"), IN_OBJECTS, ids=lambda value: value)
def test_a_changed_option_of_a_component_changes_the_hash(owner, path):
    """In the place where the component stands, with all other options equal."""
    _require(owner)
    row = IN_OBJECTS[owner, path]
    place = _place(path)
    hashes = set()
    for options in (row.base, {**row.base, **row.change}):
        choice = {"name": owner, **options}
        values = {
            "data": {"sources": ["pydoc"], "seq_len": 32},
            "tokenizer": "bytes",
            "model": "ngram",
            "trainer": "ngram",
            "safety": {"name": "none", "reason": "a test"},
        }
        if place == "data.sources[]":
            values["data"] = {"sources": [choice]}
        else:
            values[place.removesuffix("[]")] = [choice] if place.endswith("[]") else choice
        try:
            hashes.add(config.from_mapping(values, source="test", registry=REGISTRY).hash())
        except CodexError:
            assert row.seen == "refused" and hashes
            return
    assert len(hashes) == 2


def _place(path: str) -> str:
    """Where the component of an option stands; options in a group stand one deeper."""
    place = path.rpartition(".")[0]
    return place.removesuffix(".lora")


@pytest.mark.slow
@pytest.mark.parametrize(("owner", "path"), IN_OBJECTS, ids=lambda value: value)
def test_a_changed_option_shows_in_what_is_built(owner, path, tmp_path):
    """What the component is, reads or does differs, or the change is refused with an error of ours."""
    _require(owner)
    row = IN_OBJECTS[owner, path]
    kinds = {
        "data.sources[]": "datasets",
        "model": "models",
        "trainer": "trainers",
        "safety": "safety_policies",
        "tokenizer": "tokenizers",
    }
    kind = kinds.get(_place(path), "writers")
    found = REGISTRY.find(kind, owner)
    if owner == "codex-tokenizers/sentencepiece":
        pytest.importorskip("sentencepiece")
    cls = REGISTRY.options_class(found)
    assert cls is not None
    module, _, name = found.target.partition(":")
    target = getattr(import_module(module), name)
    small = {"layers": 2, "width": 16, "heads": 2} if owner == "codex-models/decoder" else {}
    small |= {"batch_rows": 4, "lr": 1e-2} if kind == "trainers" else {}
    seen = []
    for number, options in enumerate((row.base, {**row.base, **row.change})):
        folder = tmp_path / str(number)
        folder.mkdir()
        if row.seen == "refused" and options is not row.base:
            with pytest.raises(CodexError):
                options_from(cls, {**small, **options}, where="test")
            return
        built = options_from(cls, {**small, **options}, where="test")
        if row.seen == "refused":
            continue
        try:
            seen.append(SEEN[row.seen](target, built, folder))
        except CodexError as error:
            seen.append(f"refused: {error.code}")
    assert seen[0] != seen[1] and not str(seen[0]).startswith("refused")


def _require(owner: str) -> None:
    """Leave a sibling's options out where it is not installed, with the reason."""
    pytest.importorskip(owner.partition("/")[0].replace("-", "_"))
    if owner.startswith("codex-telemetry"):
        pytest.importorskip("tensorboard")
    if owner == "codex-models/hf-causal":
        pytest.importorskip("transformers")
        pytest.importorskip("peft")
        _write_directories()
    if owner in ("codex-core/parquet", "codex-core/hf-saved"):
        pytest.importorskip("pyarrow")


def _files(target, options, folder):
    identity = target(options).identity()
    return {name: value for name, value in identity.items() if name != "options"}


def _documents(target, options, folder):
    records = target(options).records()
    return [(record.id, record.group, record.turns) for record, _ in zip(records, range(9), strict=False)]


def _model(target, options, folder):
    """Weights after two steps on a counting language: every part of the shape and of the arithmetic is in them."""
    return _weights_of(folder, model=options)


def _adapted(target, options, folder):
    """As for a model, over a base of its shape in the folder `base`."""
    import attrs

    from tests.support.decoders import decoder

    base = decoder(attrs.evolve(options, weights=None, lora=None))
    Path("base").mkdir(exist_ok=True)
    for name, write in base.payload(base.trainable()).items():
        write(Path("base") / name)
    return _weights_of(folder, model=options)


def _write_directories():
    """Two Hugging Face directories with different weights, in the working directory."""
    from codex_models import tiny

    for seed, name in enumerate(("hf-a", "hf-b")):
        if not Path(name).exists():
            Path(name).mkdir()
            tiny.fill(Path(name), seed=seed, layout="llama")


def _opened(target, options, folder):
    """Weights, their type and the longest row."""
    model = target.build(options, vocab_size=9, seed=1)
    return model.language_model().fingerprint(), str(model.compute_dtype), model.context_length


def _files_of(target, options, folder):
    """The files of a checkpoint before the first step."""
    model = target.build(options, vocab_size=9, seed=1)
    for name, write in model.payload(
        {name: value.detach() for name, value in model.trainable().items()}
    ).items():
        write(folder / name)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _context(target, options, folder):
    return target.build(options, vocab_size=9, seed=1).context_length


def _weights(target, options, folder):
    return _weights_of(folder, options=options)


def _weights_of(folder, **given):
    from tests.support.decoders import options_for, train

    given.setdefault("options", options_for())
    trained = train(folder, steps=3, save_at=frozenset({3}), **given)
    files = sorted(path for path in trained.checkpoints.saved[3].path.rglob("*.safetensors"))
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def _reads(target, options, folder):
    """Which rows were asked for at once."""
    from tests.support.decoders import CountingRows, train

    asked = []

    class Watched(CountingRows):
        def rows(self, start, count):
            asked.append((start, count))
            return super().rows(start, count)

    train(folder, options=options, rows=Watched(), steps=2)
    return asked


def _begun(target, options, folder):
    """What a training that stands ready will compute with."""
    from tests.support.trainings import training_of

    training = training_of(options)
    return training.arithmetic, training.model.checkpoint_blocks


def _ending(target, options, folder):
    """Where a run ends of which steps 3 and 4 are not finite, while `a` falls, `b` stays and `c` rises and falls."""
    from tests.support.decoders import train

    hooks = []

    def evaluate(live, step):
        while hooks:
            hooks.pop().remove()
        if step in (2, 3):
            hooks.append(live.model.norm_gain.register_hook(lambda gradient: gradient * float("inf")))
        return {"c": -float(step % 3), "a": 9.0 - step, "b": 1.0}

    result = train(folder, options=options, evaluate=evaluate, evaluate_every=1).result
    return result.steps, result.reason


def _steps(target, options, folder):
    """What a lock says of a training of ten rows an epoch."""
    return [str(options.duration), str(options.warmup)] + [
        duration.steps(tokens_per_step=64, steps_per_epoch=2.5)
        for duration in (options.duration, options.warmup)
    ]


def _tokenizer(target, options, folder):
    """The fingerprint of what is learned from a few lines, or taken from the folder of a model."""
    from codex_tokenizers.examples import write_model_folder

    Path("model-folder").mkdir(exist_ok=True)
    write_model_folder(Path("model-folder"), template=CLOSED)
    texts = [
        "so much ﬁsh, much so 日",
        *(f"sentence {number} ends on {number * 7919}" for number in range(50)),
    ]
    return target.train(texts, options, seed=0).fingerprint()


def _decision(target, options, folder):
    key = "AKIA" + "QRSTUVWXYZ234567"  # in two parts, so that no scan takes this file for a leak
    decision = target(options).inspect(f"the key {key} was here", "data")
    return decision.allowed, decision.text


def _events(target, options, folder):
    writer = target(options, clock=lambda: 1.0)
    writer.open(RunInfo(run_id="r", name="n", path=folder, attempt=1))
    writer.write({"step": 1, "split": "train", "loss": 2.0}, 1)
    writer.close()
    return [path.read_bytes() for path in sorted(folder.rglob("*tfevents*"))]


SEEN = {
    "files": _files,
    "documents": _documents,
    "model": _model,
    "adapted": _adapted,
    "files_of": _files_of,
    "context": _context,
    "opened": _opened,
    "weights": _weights,
    "reads": _reads,
    "steps": _steps,
    "begun": _begun,
    "ending": _ending,
    "tokenizer": _tokenizer,
    "decision": _decision,
    "events": _events,
}
