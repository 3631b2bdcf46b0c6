"""From a plan to a prepared set, in three content-addressed stages.

Texts (read, deduplicate, safety, split), tokenizer (learn or take), tokens (render, encode, pack). Each stage is
a folder of the store named by the digest of what decides its bytes; a stage that is there is verified and used.

Decisions: nothing but the plan decides: no path, no time, no machine; a stage that fails or is interrupted leaves
nothing; the training split must have documents, the other two may be empty and then warn.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codex_core.contracts import Emit
from codex_core.data import texts, tokenizer_store, tokens
from codex_core.data.components import Components, Found, find
from codex_core.data.intake import Policy, TextsPlan
from codex_core.data.packing import PACKINGS
from codex_core.data.prepared import Prepared, assemble, open_prepared
from codex_core.data.sources import Source
from codex_core.data.splits import SPLITS, splitter
from codex_core.data.store import Stored, folder_of, obtain
from codex_core.errors import UsageError
from codex_core.events import Event, ProgressMade, Warned
from codex_core.files import OS_FILES, Files
from codex_core.lock import Choice, Plan
from codex_core.places import Places

__all__ = ["open_prepared", "prepare", "texts_plan"]


def ignore(event: Event) -> None:
    """Take an event and do nothing."""


def prepare(
    plan: Plan,
    *,
    registry: Components,
    places: Places,
    on_event: Emit = ignore,
    files: Files = OS_FILES,
) -> Prepared:
    """The prepared set of a plan, made or found in the store, verified.

    Needs the plan's datasets, tokenizer and safety policy, not its model or trainer. Raises `InputError` for
    inputs that are missing, invalid or empty and for a store that cannot be written, `ArtefactError` for a
    damaged store, and what the registry raises for components that are not usable.
    """
    tokenizer = find(plan.choices["tokenizer"], plan, registry=registry)
    _refuse_unknown(plan.config["data"])
    stored_texts = _texts(texts_plan(plan, registry=registry), places.store, on_event, files)
    held = _tokenizer(tokenizer, plan, stored_texts, places.store, on_event, files)
    tokens_plan = tokens.TokensPlan(
        texts=stored_texts, tokenizer=held, seq_len=plan.seq_len, packing=plan.config["data"]["packing"]
    )
    stored = _tokens(tokens_plan, places.store, on_event, files)
    _warn_of_empty_splits(stored.manifest, on_event)
    return assemble(stored, texts=stored_texts, tokenizer_path=held.path)


def texts_plan(plan: Plan, *, registry: Components) -> TextsPlan:
    """The first stage of a plan: datasets and policy built, identities taken."""
    data = plan.config["data"]
    sources = [_source(choice, plan, registry) for choice in _sources(plan.choices)]
    return TextsPlan(
        sources=tuple(sources),
        policy=_policy(plan, registry),
        splitter=splitter(data["split"], seed=data["split_seed"]),
        dedup=data["dedup"],
        unsupervised=data.get("unsupervised", "drop"),  # absent in locks of earlier versions
    )


def _sources(choices: Mapping[str, Choice]) -> list[Choice]:
    """The choices `data.sources[0]`, `data.sources[1]`, ... in their order."""
    found = [choice for section, choice in choices.items() if section.startswith("data.sources[")]
    return sorted(found, key=lambda choice: int(choice.section.partition("[")[2].rstrip("]")))


def _source(choice: Choice, plan: Plan, registry: Components) -> Source:
    found = find(choice, plan, registry=registry)
    dataset = found.target(found.options)
    return Source(id=found.id, dataset=dataset, identity=dataset.identity())


def _policy(plan: Plan, registry: Components) -> Policy | None:
    """The safety policy; None when the configuration says `none`, which `plan.make` has allowed or refused."""
    choice = plan.choices.get("safety")
    if choice is None or choice.name == "none":
        return None
    found = find(choice, plan, registry=registry)
    policy = found.target(found.options)
    return Policy(id=found.id, policy=policy, fingerprint=policy.fingerprint())


def _texts(plan: TextsPlan, store: Path, on_event: Emit, files: Files) -> Stored:
    def fill(folder: Path) -> dict[str, Any]:
        return texts.write_texts(folder, plan, on_event=on_event, files=files)

    fingerprint = plan.fingerprint()
    path = folder_of(store, "texts", fingerprint)
    stored, was_there = obtain(path, fill, fingerprint=fingerprint, format=texts.FORMAT, files=files)
    if was_there:
        num_read = stored.manifest["rows"]["read"]
        on_event(ProgressMade(phase="read", done=num_read, total=num_read, detail="found in the store"))
    return stored


def _tokenizer(
    found: Found, plan: Plan, stored: Stored, store: Path, on_event: Emit, files: Files
) -> tokenizer_store.StoredTokenizer:
    folder = getattr(found.options, "path", None)
    if folder is not None:
        return tokenizer_store.take(found, Path(folder), store=store, files=files)
    on_event(ProgressMade(phase="tokenize", done=0, detail=f"learning {found.id}"))
    shard = texts.open_shard(stored.path, stored.manifest, "train")
    return tokenizer_store.learn(
        found,
        texts.TurnTexts(shard),
        texts_fingerprint=stored.manifest["fingerprint"],
        plain_options=plan.choices["tokenizer"].options,
        seed=plan.seeds["tokenizer"],
        store=store,
        files=files,
    )


def _tokens(plan: tokens.TokensPlan, store: Path, on_event: Emit, files: Files) -> Stored:
    def fill(folder: Path) -> dict[str, Any]:
        return tokens.write_tokens(folder, plan, on_event=on_event, files=files)

    fingerprint = plan.fingerprint()
    path = folder_of(store, "tokens", fingerprint)
    stored, was_there = obtain(path, fill, fingerprint=fingerprint, format=tokens.FORMAT, files=files)
    if was_there:
        total = stored.manifest["corpus"]["documents"]
        on_event(ProgressMade(phase="pack", done=total, total=total, detail="found in the store"))
    return stored


def _refuse_unknown(data: Mapping[str, Any]) -> None:
    """Refuse what only this room can judge, before anything is read."""
    for key, known in (("packing", PACKINGS), ("dedup", ("exact", "none"))):
        if data[key] not in known:
            raise UsageError(
                code="DAT-009",
                what=f"data.{key} is {data[key]!r}, which does not exist",
                where=f"data.{key}",
                why=f"known: {', '.join(known)}",
                fix=f"data.{key}={known[0]}",
            )


def _warn_of_empty_splits(manifest: Mapping[str, Any], on_event: Emit) -> None:
    for split in SPLITS:
        ratio = manifest["split"]["ratios"][split]
        if manifest["splits"][split]["documents"] == 0 and float(ratio) > 0:
            on_event(
                Warned(code="DAT-007", text=f"the split {split!r} is empty although its ratio is {ratio}")
            )
