"""From a configuration file to a lock with the real registry, the real data room and the n-gram."""

from __future__ import annotations

import json

import pytest

from codex_core import config, plan
from codex_core.data.prepare import prepare
from codex_core.lock import Lock
from codex_core.places import find_places
from codex_core.registry import Registry
from codex_core.running.environment import collect

RUN = """\
run: {seed: 3, threads: 1}
data:
  sources:
    - {name: text, path: corpus.txt, document: paragraph}
  split: [0.6, 0.2, 0.2]
  seq_len: 32
tokenizer: bytes
model: {name: ngram, order: 3}
trainer: {name: ngram, duration: 2 epochs, batch_rows: 4}
evaluation: {every: 1 epoch}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a corpus of sixty short documents and a configuration."""
    paragraphs = [f"Document number {number} says {'so ' * (number % 7)}much." for number in range(60)]
    (tmp_path / "corpus.txt").write_text("\n\n".join(paragraphs))
    (tmp_path / "run.yaml").write_text(RUN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_file_to_lock(project):
    """Names, data and durations of a file end in one lock, which its file gives back, and which repeats."""
    places = find_places(project)
    registry = Registry.open(places=places)
    has_policy = any(row.kind == "safety_policies" and row.state == "ok" for row in registry.rows)
    safety = [] if has_policy else ["safety={name: none, reason: no policy is installed}"]
    asked = plan.make(config.load(project / "run.yaml", safety, registry=registry), registry)
    plan.require_usable(asked)
    prepared = prepare(asked, registry=registry, places=places)
    environment = collect(environ={}, folder=project)

    lock = plan.settle(asked, prepared, registry=registry, environment=environment)

    rows = prepared.packed("train", seed=asked.seeds["data.order"]).num_rows
    assert lock.steps == -(-2 * rows // 4)
    assert lock.evaluate_every == -(-rows // 4)
    assert lock.data["splits"]["train"]["rows"] == rows
    assert lock.memory is not None and lock.disk_bytes
    assert Lock.from_dict(json.loads(json.dumps(lock.as_dict()))).digest() == lock.digest()
    assert str(project) not in json.dumps(lock.as_dict()), "a lock names no folder of a machine"
    text = plan.describe_lock(lock)
    assert f"{lock.steps} steps" in text and prepared.fingerprint in text

    (project / "config.yaml").write_text(config.from_mapping(asked.config, source="plan").to_yaml())
    again = plan.make(config.load(project / "config.yaml", registry=registry), registry)
    assert again.config_hash == asked.config_hash == lock.config_hash
    assert plan.settle(again, prepared, registry=registry, environment=environment).digest() == lock.digest()
