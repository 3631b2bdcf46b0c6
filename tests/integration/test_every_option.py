"""Every option of ours: changing it changes the configuration's hash, and something that can be observed.

The tables in `tests/support/option_rows.py` list, per key, a change and where it shows; a key that is added without
a row fails the first test.
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
from typing import Any

import pytest

from codex_core import config
from codex_core.cli.config_doc import component_fields, section_fields
from codex_core.cli.main import main
from codex_core.contracts import RunInfo
from codex_core.errors import CodexError
from codex_core.planning.structuring import options_from
from tests.support.commands import Project, safety_line
from tests.support.option_rows import CLOSED, IN_OBJECTS, IN_RUNS, SECTIONS
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
            "run": {"exactness": "L0"},
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


def _short_of_memory(target, options, folder):
    """How far a run comes whose model has no memory for more than two rows at once."""
    from codex_models.decoder import Decoder
    from tests.support.decoders import train

    hidden = Decoder.hidden

    def bounded(self, ids, *more, **settings):
        if len(ids) > 2:
            raise MemoryError
        return hidden(self, ids, *more, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Decoder, "hidden", bounded)
        return train(folder, options=options, steps=1, exactness="L0").result.steps


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
    "memory": _short_of_memory,
    "tokenizer": _tokenizer,
    "decision": _decision,
    "events": _events,
}
