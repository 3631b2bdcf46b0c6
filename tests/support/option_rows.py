"""What every option of ours does, as tables: a change, and where it shows.

A key of a section or of an options class without a row fails `tests/integration/test_every_option.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


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
    ("codex-models/torch", "trainer.on_oom"): Built({"on_oom": "stop"}, "memory", {"on_oom": "retry"}),
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
