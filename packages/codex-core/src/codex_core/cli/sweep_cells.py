"""The cells of a sweep: which overrides each of them gets.

Decisions: every `--grid` is an axis and so are the seeds; all `--list`s together are one axis, all `--random`s
together another, whose points are drawn by a generator of their own per key; cells are the product of the axes in the
order grid, list, random, seeds, so that the same words always give the same cells.
"""

from __future__ import annotations

import itertools
import math
import random
import re
import shlex
from collections.abc import Iterator, Sequence

import attrs

from codex_core.errors import UsageError
from codex_core.planning.overrides import parse_override

MAX_CELLS = 1000

#: A range: two numbers, how many points, and how they are spread.
_RANGE = re.compile(r"(\S+?)\.\.([^:\s]+):(\d{1,9})(:log)?")

Axis = list[tuple[str, ...]]


@attrs.frozen(kw_only=True)
class Cell:
    """One point of a sweep: overrides beyond those of the command line, and a seed if the sweep varies it."""

    number: int
    overrides: tuple[str, ...]
    seed: int | None = None

    @property
    def label(self) -> str:
        """The cell in words: `trainer.lr=1e-3 --seed 1`."""
        return " ".join([*self.overrides, *([f"--seed {self.seed}"] if self.seed is not None else [])])


def cells_of(
    *, grids: Sequence[str], lists: Sequence[str], randoms: Sequence[str], random_seed: int, seeds: str | None
) -> list[Cell]:
    """The cells that the options of a sweep describe; raises `UsageError` for what cannot be read or is no sweep."""
    axes: list[Axis] = [_grid(text) for text in grids]
    if lists:
        axes.append([_listed(text) for text in lists])
    if randoms:
        axes.append(_drawn(randoms, random_seed))
    numbers: list[int | None] = [None] if seeds is None else [*_seeds(seeds)]
    if not axes and seeds is None:
        raise _unreadable("a sweep without axes", "nothing varies", "add --grid KEY=A,B, or --seeds 1,2")
    _require_distinct_keys([*grids, *randoms])
    num_cells = math.prod(map(len, axes)) * len(numbers)
    if num_cells > MAX_CELLS:
        raise _unreadable(
            f"{num_cells:,} cells", f"a sweep has at most {MAX_CELLS:,}", "sweep over fewer values"
        )
    points = itertools.product(itertools.product(*axes), numbers)
    return [
        Cell(number=number, overrides=tuple(itertools.chain(*parts)), seed=seed)
        for number, (parts, seed) in enumerate(points, start=1)
    ]


def split_values(text: str) -> list[str]:
    """The values of `A,B,C`, split at commas outside of brackets and quotes.

    >>> split_values("[1, 2],'a,b',{c: 3}")
    ['[1, 2]', "'a,b'", '{c: 3}']
    """
    parts, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        if char == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def _grid(text: str) -> Axis:
    key, values = _halves(text, "--grid", "KEY=A,B,C")
    if any(not value for value in values):
        raise _unreadable(f"--grid {text}", "a value is empty", f"--grid {key}=A,B")
    axis: Axis = [(f"{key}={value}",) for value in values]
    for overrides in axis:
        parse_override(overrides[0])
    return axis


def _listed(text: str) -> tuple[str, ...]:
    try:
        overrides = tuple(shlex.split(text))
    except ValueError as error:
        raise _unreadable(f"--list {text}", str(error), "--list 'KEY=A OTHER=B'") from None
    for override in overrides:
        _refuse_plugins(".".join(map(str, parse_override(override).steps)), text)
    return overrides


def _drawn(texts: Sequence[str], seed: int) -> Axis:
    """As many different points as asked for; whole numbers from a small range repeat, and then are drawn again."""
    ranges = [_Range.parse(text) for text in texts]
    counts = sorted({one.count for one in ranges})
    if len(counts) > 1:
        why = f"the points of all --random are drawn together; asked are {' and '.join(map(str, counts))}"
        raise _unreadable("--random with unequal numbers of points", why, "ask for the same N in each")
    draws = zip(*(one.draws(seed) for one in ranges), strict=True)
    points = dict.fromkeys(itertools.islice(draws, 100 * counts[0]))
    if len(points) < counts[0]:
        why = f"the ranges hold few whole numbers: {len(points)} different points were found"
        raise _unreadable(f"{counts[0]} random points", why, "ask for fewer, or write them out with --grid")
    return list(points)[: counts[0]]


@attrs.frozen(kw_only=True)
class _Range:
    """`KEY=LOW..HIGH:N[:log]`: whole numbers when both bounds are."""

    key: str
    low: int | float
    high: int | float
    count: int
    is_log: bool

    @classmethod
    def parse(cls, text: str) -> _Range:
        key, _ = _halves(text, "--random", "KEY=LOW..HIGH:N")
        match = _RANGE.fullmatch(text.partition("=")[2].strip())
        low, high = (_number(match[1]), _number(match[2])) if match else (None, None)
        if match is None or low is None or high is None or not 1 <= int(match[3]) <= MAX_CELLS:
            why = (
                f"it reads KEY=LOW..HIGH:N, N up to {MAX_CELLS}, and :log for equal shares of each magnitude"
            )
            raise _unreadable(f"--random {text}", why, f"--random {key}=1e-4..1e-2:8:log")
        if not low < high or (match[4] and low <= 0):
            why = "LOW is below HIGH, and above 0 for :log"
            raise _unreadable(f"--random {text}", why, f"--random {key}=LOW..HIGH:N")
        return cls(key=key, low=low, high=high, count=int(match[3]), is_log=bool(match[4]))

    def draws(self, seed: int) -> Iterator[str]:
        """Overrides without end, the same for the same seed."""
        chance = random.Random(f"{seed}:{self.key}")
        is_whole = isinstance(self.low, int) and isinstance(self.high, int)
        high = self.high + 1 if is_whole else self.high
        while True:
            share = chance.random()
            drawn = (
                self.low * (high / self.low) ** share if self.is_log else self.low + (high - self.low) * share
            )
            if is_whole:
                yield f"{self.key}={min(math.floor(drawn), self.high)}"
            else:
                yield f"{self.key}={min(max(float(f'{drawn:.6g}'), self.low), self.high)!r}"


def _seeds(text: str) -> list[int]:
    words = split_values(text)
    if not all(re.fullmatch(r"\d{1,18}", word) for word in words):
        raise _unreadable(f"--seeds {text}", "seeds are whole numbers from 0", "--seeds 1,2,3")
    return [int(word) for word in words]


def _halves(text: str, flag: str, form: str) -> tuple[str, list[str]]:
    key, equals, values = text.partition("=")
    if not key or not equals or key[0] in "+~":
        raise _unreadable(f"{flag} {text}", f"it reads {form}", f"{flag} {form}")
    _refuse_plugins(key, text)
    return key, split_values(values)


def _require_distinct_keys(texts: Sequence[str]) -> None:
    keys = [text.partition("=")[0] for text in texts]
    for key in keys:
        if keys.count(key) > 1:
            raise _unreadable(
                f"two axes over {key}", "the later would hide the earlier", f"--grid {key}=A,B,C"
            )


def _refuse_plugins(key: str, text: str) -> None:
    if key.partition(".")[0] == "plugins":
        raise _unreadable(text, "all cells of a sweep use the same plugins", "set `plugins` in the file")


def _number(text: str) -> int | float | None:
    try:
        number = int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _unreadable(what: str, why: str, fix: str) -> UsageError:
    return UsageError(
        code="CFG-017", what=f"this sweep cannot be made: {what}", where="command line", why=why, fix=fix
    )
