"""From a plan to a prepared set, in three content-addressed stages.

Texts (read, deduplicate, safety, split), tokenizer (learn or take), tokens (render, encode, pack). Each stage is
a folder of the store named by the digest of what decides its bytes; a stage that is there is verified and used.

Decisions: nothing but the plan decides: no path, no time, no machine, no number of processes; a stage that fails
leaves nothing, one that is interrupted keeps its finished parts for the next try; of two processes that prepare one
stage the first wins and the other uses what it finds; the training split must have documents, the other two may be
empty and then warn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs

from codex_core.contracts import Emit
from codex_core.data import texts, tokenizer_store, tokens
from codex_core.data.components import Components, Found, find
from codex_core.data.encoding import Encoding, PartEncoding, tokenizer_of
from codex_core.data.intake import Policy, TextsPlan
from codex_core.data.jobs import UNSYNCED_FILES, is_shared, sweep, using_job
from codex_core.data.packing import packing_of
from codex_core.data.prepared import Prepared, assemble, open_prepared
from codex_core.data.reading import Reading, reading_of, reading_path
from codex_core.data.shards import SHARD_BYTES
from codex_core.data.sources import Source
from codex_core.data.splits import SPLITS, splitter
from codex_core.data.store import MANIFEST, Stored, folder_of, in_use, obtain
from codex_core.data.token_parts import Batch
from codex_core.errors import CodexError, UsageError
from codex_core.events import Event, ProgressMade, Warned
from codex_core.files import OS_FILES, Files
from codex_core.lock import Choice, Plan
from codex_core.places import Places

__all__ = [
    "Work",
    "encode_lots",
    "finished",
    "given_tokenizer",
    "open_prepared",
    "prepare",
    "refuse_unknown",
    "texts_plan",
]


def ignore(event: Event) -> None:
    """Take an event and do nothing."""


@attrs.frozen(kw_only=True)
class Work:
    """What preparing needs beside the plan: where, with how many processes, through which file operations.

    Parts of a stage are written with `part_files`: those of one process need not survive a power failure.
    """

    store: Path
    workers: int = 1
    on_event: Emit = ignore
    files: Files = OS_FILES
    part_files: Files = UNSYNCED_FILES

    @classmethod
    def of(cls, places: Places, *, workers: int, on_event: Emit, files: Files) -> Work:
        """Other file operations than those of the machine cannot be handed to other processes."""
        if files is OS_FILES:
            return cls(store=places.store, workers=workers, on_event=on_event)
        return cls(store=places.store, on_event=on_event, files=files, part_files=files)


def prepare(
    plan: Plan,
    *,
    registry: Components,
    places: Places,
    on_event: Emit = ignore,
    files: Files = OS_FILES,
    workers: int = 1,
) -> Prepared:
    """The prepared set of a plan, made or found in the store, verified; the same bytes for any number of workers.

    Needs the plan's datasets, tokenizer and safety policy, not its model or trainer. Raises `InputError` for
    inputs that are missing, invalid or empty and for a store that cannot be written, `ArtefactError` for a
    damaged store, and what the registry raises for components that are not usable.
    """
    work = Work.of(places, workers=workers, on_event=on_event, files=files)
    tokenizer = find(plan.choices["tokenizer"], plan, registry=registry)
    refuse_unknown(plan.config["data"])
    wanted = texts_plan(plan, registry=registry)
    reading = None
    is_there = (folder_of(work.store, "texts", wanted.fingerprint()) / MANIFEST).exists()
    if not is_there or reading_path(wanted, store=work.store).exists():  # the latter was killed, or is shared
        reading = reading_of(wanted, store=work.store, files=work.part_files)
    return finished(tokenizer, plan, wanted, work, reading)


def finished(
    tokenizer: Found, plan: Plan, wanted: TextsPlan, work: Work, reading: Reading | None
) -> Prepared:
    """All three stages, while housekeeping keeps away from what they make and use."""
    with ExitStack() as uses:
        return _stages(tokenizer, plan, wanted, work, reading, uses)


def _stages(
    tokenizer: Found,
    plan: Plan,
    wanted: TextsPlan,
    work: Work,
    reading: Reading | None,
    uses: ExitStack,
) -> Prepared:
    """A tokenizer that is known before the texts are encodes lots while these are put together."""
    given: list[tokenizer_store.StoredTokenizer] = []

    def encode(lots: Reading, meanwhile: Callable[[], None]) -> None:
        if (held := given_tokenizer(tokenizer, plan, wanted, work)) is None:
            meanwhile()
        else:
            given.append(held)
            encode_lots(lots, range(len(lots.lots)), held, work, meanwhile=meanwhile)

    try:
        if reading is not None:
            uses.enter_context(using_job(reading.path))
        stored_texts = _texts(wanted, work, reading, encode)
        uses.enter_context(in_use(stored_texts.path))
        held = given[0] if given else _tokenizer(tokenizer, plan, stored_texts, work)
        uses.enter_context(in_use(held.stored.path))
        stored, was_there = _tokens(_tokens_plan(plan, stored_texts, held), work, reading)
    except CodexError:
        if reading is not None and not is_shared(reading.path):
            sweep(reading.path, files=work.files)
        raise
    if reading is not None and not is_shared(reading.path):
        sweep(reading.path, files=work.files)
    _warn_of_empty_splits(stored.manifest, work.on_event)
    _warn_of_leaks(stored.manifest, work.on_event)
    return assemble(stored, texts=stored_texts, tokenizer_path=held.path, was_there=was_there)


def _tokens_plan(plan: Plan, stored: Stored, held: tokenizer_store.StoredTokenizer) -> tokens.TokensPlan:
    data = plan.config["data"]
    return tokens.TokensPlan(
        texts=stored,
        tokenizer=held,
        seq_len=plan.seq_len,
        packing=data["packing"],
        shard_bytes=data.get("shard_bytes", SHARD_BYTES),  # absent in locks of earlier versions, like weights
        apart=data.get("weights") is not None,
    )


def texts_plan(plan: Plan, *, registry: Components) -> TextsPlan:
    """The first stage of a plan: datasets and policy built, identities taken."""
    data = plan.config["data"]
    sources = [_source(choice, plan, registry) for choice in _sources(plan.choices)]
    return TextsPlan(
        sources=tuple(sources),
        policy=_policy(plan, registry),
        splitter=splitter(data["split"], seed=data["split_seed"], by=data.get("split_by", "content")),
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
    recipe = (found.target, found.options)
    return Source(id=found.id, dataset=dataset, identity=dataset.identity(), recipe=recipe)


def _policy(plan: Plan, registry: Components) -> Policy | None:
    """The safety policy; None when the configuration says `none`, which `plan.make` has allowed or refused."""
    choice = plan.choices.get("safety")
    if choice is None or choice.name == "none":
        return None
    found = find(choice, plan, registry=registry)
    policy = found.target(found.options)
    recipe = (found.target, found.options)
    return Policy(id=found.id, policy=policy, fingerprint=policy.fingerprint(), recipe=recipe)


def _unless_there(path: Path, make: Callable[[], tuple[Stored, bool]]) -> tuple[Stored, bool]:
    """What `make` gives; when it fails because another process finished `path` and swept the job: that."""
    try:
        return make()
    except (CodexError, OSError):
        if not (path / MANIFEST).exists():
            raise
    return make()


def _texts(
    plan: TextsPlan,
    work: Work,
    reading: Reading | None,
    encode: Callable[[Reading, Callable[[], None]], None],
) -> Stored:
    """The first stage; `encode` does what it can do with the lots, and the putting together of them beside it."""
    fingerprint = plan.fingerprint()
    path = folder_of(work.store, "texts", fingerprint)
    made: list[tuple[Stored, bool]] = []

    def fill(folder: Path) -> dict[str, Any]:
        assert reading is not None, "a stage that is there is not made"
        selection = reading.select(files=work.part_files)
        return reading.write(folder, selection, on_event=work.on_event, files=work.files)

    def put_together() -> None:
        made.append(obtain(path, fill, fingerprint=fingerprint, format=texts.FORMAT, files=work.files))

    def make() -> tuple[Stored, bool]:
        made.clear()
        if reading is None or (path / MANIFEST).exists():
            put_together()
        else:
            reading.read(range(len(reading.lots)), workers=work.workers, on_event=work.on_event)
            reading.select(files=work.part_files).account().refuse_empty(plan)
            encode(reading, put_together)
        return made[0]

    stored, was_there = _unless_there(path, make)
    if was_there:
        num_read = stored.manifest["rows"]["read"]
        work.on_event(ProgressMade(phase="read", done=num_read, total=num_read, detail="found in the store"))
    return stored


def _tokenizer(found: Found, plan: Plan, stored: Stored, work: Work) -> tokenizer_store.StoredTokenizer:
    folder = getattr(found.options, "path", None)
    if folder is not None:
        return tokenizer_store.take(found, Path(folder), store=work.store, files=work.files)
    work.on_event(ProgressMade(phase="tokenize", done=0, detail=f"learning {found.id}"))
    shard = texts.open_shard(stored.path, stored.manifest, "train")
    return _learned(found, plan, texts.TurnTexts(shard), stored.manifest["fingerprint"], work)


def given_tokenizer(
    found: Found, plan: Plan, wanted: TextsPlan, work: Work
) -> tokenizer_store.StoredTokenizer | None:
    """The tokenizer, when it is known before all texts are; None when it has to be learned from them."""
    folder = getattr(found.options, "path", None)
    if folder is not None:
        return tokenizer_store.take(found, Path(folder), store=work.store, files=work.files)
    if getattr(found.target, "learns", True):
        return None
    return _learned(found, plan, (), wanted.fingerprint(), work)


def _learned(
    found: Found, plan: Plan, turns: Any, texts_fingerprint: str, work: Work
) -> tokenizer_store.StoredTokenizer:
    return tokenizer_store.learn(
        found,
        turns,
        texts_fingerprint=texts_fingerprint,
        plain_options=plan.choices["tokenizer"].options,
        seed=plan.seeds["tokenizer"],
        store=work.store,
        files=work.files,
    )


def encode_lots(
    reading: Reading,
    numbers: range,
    held: tokenizer_store.StoredTokenizer,
    work: Work,
    *,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    parts = [reading.part(number) if number in numbers else None for number in range(len(reading.lots))]
    encoding = PartEncoding(reading.job, parts, tokenizer_of(held), name=held.stored.path.name)
    encoding.encode(numbers, workers=work.workers, on_event=work.on_event, meanwhile=meanwhile)


def _tokens(plan: tokens.TokensPlan, work: Work, reading: Reading | None) -> tuple[Stored, bool]:
    """The third stage: the lots of `reading` encoded where they are all there, else the texts."""
    fingerprint = plan.fingerprint()
    path = folder_of(work.store, "tokens", fingerprint)
    own_job: list[Path] = []

    def fill(folder: Path) -> dict[str, Any]:
        if reading is not None and not reading.missing():
            batches = _of_lots(reading, plan, work)
        else:
            encoding = Encoding(plan, store=work.store, files=work.part_files)
            own_job.append(encoding.job.path)
            encoding.encode(workers=work.workers, on_event=work.on_event)
            batches = encoding.batches()
        return tokens.write_tokens(folder, plan, batches, on_event=work.on_event, files=work.files)

    def make() -> tuple[Stored, bool]:
        return obtain(path, fill, fingerprint=fingerprint, format=tokens.FORMAT, files=work.files)

    try:
        stored, was_there = _unless_there(path, make)
    except CodexError:
        for job in own_job:
            sweep(job, files=work.files)
        raise
    for job in own_job:
        sweep(job, files=work.files)
    if was_there:
        total = stored.manifest["corpus"]["documents"]
        work.on_event(ProgressMade(phase="pack", done=total, total=total, detail="found in the store"))
    return stored, was_there


def _of_lots(reading: Reading, plan: tokens.TokensPlan, work: Work) -> dict[str, Iterator[Batch]]:
    """The documents that are kept of all lots, encoded; those that were encoded before are not done again."""
    selection = reading.select(files=work.part_files)
    tokenizer = tokenizer_of(plan.tokenizer)
    encoding = PartEncoding(reading.job, selection.parts, tokenizer, name=plan.tokenizer.stored.path.name)
    absent = [number for number in range(len(reading.lots)) if not encoding.job.has(number)]
    encoding.encode(absent, workers=work.workers, on_event=work.on_event)
    return encoding.batches(selection, dtype=plan.dtype)


def refuse_unknown(data: Mapping[str, Any]) -> None:
    """Refuse what only this room can judge, before anything is read."""
    packing_of(data["packing"])
    for key, known in (("dedup", ("exact", "none")),):
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


def _warn_of_leaks(manifest: Mapping[str, Any], on_event: Emit) -> None:
    if num_texts := manifest.get("leaks", {}).get("texts", 0):
        text = f"{num_texts:,} texts stand in more than one split, because rows are split by index"
        on_event(Warned(code="DAT-062", text=text))
