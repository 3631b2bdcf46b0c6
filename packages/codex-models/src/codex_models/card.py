"""The card of an exported model: facts from manifests and locks, and nothing else.

Decisions: every line is read from a file of the run or measured by the export; what no file says is said to be
absent; there is no advice, no praise and no intended use. Importing this module loads no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Facts:
    """What is known of a model: its description, the manifest of its checkpoint and, where a run is at hand, more.

    `lock` and `data` are those of the run (None when it is not at hand), `signatures` those of its metrics by name,
    `verification` lines of what the export compared.
    """

    name: str
    description: str
    layout: str
    dtype: str
    manifest: Mapping[str, Any]
    lock: Mapping[str, Any] | None
    data: Mapping[str, Any] | None
    signatures: Mapping[str, str]
    verification: Sequence[str]


def card(facts: Facts) -> str:
    """The card as Markdown."""
    sections = {
        "Model": _model(facts),
        "Training": _training(facts),
        "Data": _data(facts),
        "Safety": _safety(facts),
        "Evaluation": _evaluation(facts),
        "Verification of this export": iter(f"- {line}" for line in facts.verification),
    }
    head = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "---",
        "",
        f"# {facts.name}",
        "",
    ]
    body = [line for title, lines in sections.items() for line in (f"## {title}", "", *lines, "")]
    foot = ["Every line of this card was read from the run's files or measured by the export."]
    return "\n".join([*head, *body, *foot]) + "\n"


def _model(facts: Facts) -> Iterator[str]:
    yield f"- {facts.description}"
    yield f"- layout {facts.layout}, stored as {facts.dtype}"
    run = facts.manifest.get("run") or {}
    if run.get("id"):
        yield f"- run `{run['id']}` ({run['name']}), step {facts.manifest['step']}, attempt {run['attempt']}"
    origin = facts.manifest.get("exported_from")
    if origin:
        told = ", ".join(f"{name} `{value}`" for name, value in sorted(origin.items()) if value is not None)
        yield f"- taken from: {told}"
    if facts.manifest.get("digest"):
        yield f"- checkpoint manifest: `{facts.manifest['digest']}`"


def _training(facts: Facts) -> Iterator[str]:
    lock, manifest = facts.lock, facts.manifest
    if not manifest.get("lock_digest"):
        yield "No run of Codex trained this model; nothing is known of its training."
        return
    yield f"- lock: `{manifest['lock_digest']}`"
    yield f"- tokens seen: {manifest['tokens']:,}"
    if lock is None:
        yield "- further settings: absent, the run's lock is not beside the checkpoint"
        return
    yield f"- steps {lock['steps']:,}, {lock['epochs']:.4g} epochs"
    yield f"- batch {lock['batch_rows']:,} rows of {lock['seq_len']:,} tokens"
    yield f"- seed {lock['seed']}, exactness {lock['exactness']}"
    trainer = lock["components"]["trainer"]
    options = ", ".join(f"{name}={value}" for name, value in sorted(trainer["options"].items()))
    yield f"- trainer {trainer['id']} {trainer['version']}: {options}"
    model = lock["components"]["model"]
    options = ", ".join(f"{name}={value}" for name, value in sorted(model["options"].items()))
    yield f"- model {model['id']} {model['version']}: {options}"
    for option, asset in sorted(lock["data"].get("assets", {}).items()):
        yield f"- {option}: `{asset['digest']}`"
    packages = lock.get("environment", {}).get("packages", {})
    if packages:
        yield f"- packages: {', '.join(f'{name} {version}' for name, version in sorted(packages.items()))}"


def _data(facts: Facts) -> Iterator[str]:
    held = facts.manifest.get("data") or {}
    if not held.get("fingerprint"):
        yield "No prepared data is known of."
        return
    yield f"- prepared data: `{held['fingerprint']}`, manifest `{held['manifest_digest']}`"
    if facts.data is None:
        yield "- documents and sources: absent, the run's data.json is not beside the checkpoint"
        return
    corpus, rows = facts.data.get("corpus", {}), facts.data.get("rows", {})
    if corpus.get("digest"):
        yield f"- corpus: `{corpus['digest']}`, {corpus['documents']:,} documents, {corpus['bytes']:,} bytes"
    for source in facts.data.get("sources", ()):
        files = source.get("identity", {}).get("files", ())
        yield f"- source {source['id']}: {len(files)} files"
    if rows:
        dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(rows.get("dropped", {}).items()))
        yield f"- rows: {rows['read']:,} read, {rows['kept']:,} kept, dropped: {dropped or 'none'}"
    for name, split in sorted(facts.data.get("splits", {}).items()):
        yield f"- split {name}: {split['documents']:,} documents, {split['tokens']:,} tokens"
    tokenizer = facts.data.get("tokenizer", {})
    if tokenizer:
        yield f"- tokenizer {tokenizer['id']}: `{tokenizer['fingerprint']}`"


def _safety(facts: Facts) -> Iterator[str]:
    if facts.lock is not None and "safety" in facts.lock["components"]:
        chosen = facts.lock["components"]["safety"]
        reason = chosen.get("options", {}).get("reason")
        yield f"- policy: {chosen['id']}" + (f" ({reason})" if reason else "")
    counts = (facts.data or {}).get("safety")
    if counts is None:
        yield "- counts over the training data: absent"
        return
    yield f"- documents blocked: {counts['blocked']:,}, redacted: {counts['redacted']:,}"
    for rule, count in sorted(counts.get("matches", {}).items()):
        yield f"- rule {rule}: {count:,} matches"
    if counts.get("fingerprint"):
        yield f"- rules and actions: `{counts['fingerprint']}`"


def _evaluation(facts: Facts) -> Iterator[str]:
    metrics = facts.manifest.get("metrics") or {}
    yielded = False
    for split, row in sorted(metrics.items()):
        numbers = {name: value for name, value in row.items() if isinstance(value, float)}
        for name, value in sorted(numbers.items()):
            signature = facts.signatures.get(name)
            told = f", signature `{signature}`" if signature else ", signature: absent"
            yield f"- {split}, step {row['step']}: {name} {value:.6g}{told}"
            yielded = True
    if not yielded:
        yield "No evaluation is recorded."
