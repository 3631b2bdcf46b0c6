"""One prepared set by several machines: each makes a chunk of its parts, one of them seals.

Decisions: there is no coordinator and no list of machines; a chunk is every N-th lot, so any N cuts the work evenly,
and chunks of different N go together; sealing looks at the parts alone.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from codex_core.contracts import Emit
from codex_core.data.components import Components, find
from codex_core.data.jobs import share, sweep, using_job
from codex_core.data.prepare import (
    Work,
    encode_lots,
    finished,
    given_tokenizer,
    ignore,
    refuse_unknown,
    texts_plan,
)
from codex_core.data.prepared import Prepared
from codex_core.data.reading import reading_of
from codex_core.data.store import MANIFEST, folder_of
from codex_core.errors import UsageError
from codex_core.files import OS_FILES, Files
from codex_core.lock import Plan
from codex_core.places import Places


@attrs.frozen(kw_only=True)
class Chunk:
    """What one of several machines has done: its lots of all, and how many are still missing."""

    number: int
    of: int
    lots: tuple[int, ...]
    num_lots: int
    missing: int
    has_tokens: bool
    path: Path


def prepare_chunk(
    plan: Plan,
    number: int,
    of: int,
    *,
    registry: Components,
    places: Places,
    on_event: Emit = ignore,
    files: Files = OS_FILES,
    workers: int = 1,
) -> Chunk:
    """Read (and, if nothing has to be learned first, encode) every `of`-th lot from `number` (1 to `of`) on.

    Lots that are there are not done again. `seal` puts the lots of all machines together.
    """
    if not 1 <= number <= of:
        raise UsageError(
            code="DAT-034",
            what=f"there is no chunk {number} of {of}",
            where="--chunk",
            fix=f"--chunk 1/{max(of, 1)} to --chunk {max(of, 1)}/{max(of, 1)}",
        )
    work = Work.of(places, workers=workers, on_event=on_event, files=files)
    tokenizer = find(plan.choices["tokenizer"], plan, registry=registry)
    refuse_unknown(plan.config["data"])
    wanted = texts_plan(plan, registry=registry)
    reading = reading_of(wanted, store=work.store, files=files)
    held = given_tokenizer(tokenizer, plan, wanted, work)
    refers = {"texts": wanted.fingerprint(), "tokenizer": held and held.stored.path.name}
    share(reading.path, refers=refers, files=files)
    numbers = range(number - 1, len(reading.lots), of)
    with using_job(reading.path):
        reading.read(numbers, workers=work.workers, on_event=on_event)
        if held is not None:
            encode_lots(reading, numbers, held, work)
    return Chunk(
        number=number,
        of=of,
        lots=tuple(numbers),
        num_lots=len(reading.lots),
        missing=len(reading.missing()),
        has_tokens=held is not None,
        path=reading.path,
    )


def seal(
    plan: Plan,
    *,
    registry: Components,
    places: Places,
    on_event: Emit = ignore,
    files: Files = OS_FILES,
    workers: int = 1,
) -> Prepared:
    """The prepared set of a plan out of the chunks of all machines, verified; byte for byte what `prepare` gives.

    Raises `InputError` when lots are missing, `ArtefactError` when one is damaged.
    """
    work = Work.of(places, workers=workers, on_event=on_event, files=files)
    tokenizer = find(plan.choices["tokenizer"], plan, registry=registry)
    refuse_unknown(plan.config["data"])
    wanted = texts_plan(plan, registry=registry)
    reading = reading_of(wanted, store=work.store, files=files)
    if not (folder_of(work.store, "texts", wanted.fingerprint()) / MANIFEST).exists():
        reading.parts()  # every lot is there and whole, or this raises
    prepared = finished(tokenizer, plan, wanted, work, reading)
    sweep(reading.path, files=files)
    return prepared
