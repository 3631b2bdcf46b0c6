"""Plans over the data room alone: its own components, a small registry, and fakes whose outcome can be predicted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs

from codex_core.components import Component
from codex_core.contracts import SafetyStream
from codex_core.data import plugin
from codex_core.data.bytes_tokenizer import EOS, BytesTokenizer
from codex_core.lock import Choice, Plan
from codex_core.options import option
from codex_core.places import Places
from codex_core.records import Decision, Encoded, Match, Record, Turn


@attrs.frozen(kw_only=True)
class WordsOptions:
    """Which words the policy looks for."""

    blocked: str = option("FORBIDDEN", doc="a text with this word may not pass")
    secret: str = option("hunter2", doc="this word is replaced")


class WordsPolicy:
    """Blocks texts with one word and replaces another by `[secret]`."""

    def __init__(self, options: WordsOptions) -> None:
        self.options = options

    def inspect(self, text: str, stage: str) -> Decision:
        """See the class; stage and text decide alone."""
        assert stage == "data"
        matches = [
            Match(rule=rule, start=text.index(word), end=text.index(word) + len(word), action=action)
            for rule, word, action in (
                ("blocked", self.options.blocked, "block"),
                ("secret", self.options.secret, "redact"),
            )
            if word in text
        ]
        return Decision(
            allowed=self.options.blocked not in text,
            text=text.replace(self.options.secret, "[secret]"),
            matches=tuple(matches),
        )

    def stream(self, stage: str) -> SafetyStream:
        """Not needed for prepared data."""
        raise AssertionError("preparing data inspects whole texts")

    def fingerprint(self) -> str:
        """Changes with the options."""
        return f"sha256:{self.options.blocked}:{self.options.secret}"


@attrs.frozen(kw_only=True)
class TurnsOptions:
    """Which fault the dataset of turns has."""

    fault: str | None = option(None, doc="what is wrong", choices=("changing", "surrogate", "unlearned"))


class TurnsDataset:
    """Twelve conversations of two turns each, the first of which is not learned."""

    def __init__(self, options: TurnsOptions) -> None:
        self.options = options
        self._num_asked = 0

    def identity(self) -> dict[str, Any]:
        """One for ever, unless it is told to change."""
        self._num_asked += 1
        return {"turns": 12, "asked": self._num_asked if self.options.fault == "changing" else 0}

    def records(self) -> Iterator[Record]:
        """The conversations, with the fault if there is one."""
        for number in range(1, 13):
            answer = "\ud800" if self.options.fault == "surrogate" and number == 3 else f"answer {number}"
            learn = not (self.options.fault == "unlearned" and number == 3)
            turns = (Turn("user", f"question {number}", learn=False), Turn("assistant", answer, learn=learn))
            yield Record(id=f"talk {number}", turns=turns, source=("talks", number))


#: What can be wrong with a rendering.
FAULTS = ("no-bos", "two-bos", "outside", "unsupervised", "eos-as-pad")


@attrs.frozen(kw_only=True)
class FaultyOptions:
    """Where to load from, and which fault rendering has."""

    path: str | None = option(None, doc="folder of a saved tokenizer", unit="path")
    fault: str | None = option(None, doc="what is wrong", choices=FAULTS)


class FaultyTokenizer(BytesTokenizer):
    """The tokenizer `bytes`, with a fault in its rendering if one is asked for."""

    fault: str | None = None
    learns = True

    @classmethod
    def train(cls, texts: Iterable[str], options: FaultyOptions, *, seed: int = 0) -> FaultyTokenizer:
        """Reads all texts and fails without any, as a real tokenizer would; takes the seed of the plan."""
        assert list(texts)
        assert seed == TOKENIZER_SEED
        cls.fault = options.fault
        return cls()

    def render(self, record: Record, template: str | None = None) -> Encoded:
        """The rendering of `bytes`, or a broken one."""
        encoded = super().render(record, template)
        if self.fault == "no-bos":
            return attrs.evolve(encoded, ids=(0, *encoded.ids[1:]))
        if self.fault == "outside":
            return attrs.evolve(encoded, ids=(*encoded.ids[:-1], self.vocab_size))
        if self.fault == "two-bos":
            return attrs.evolve(
                encoded,
                ids=(encoded.ids[0], *encoded.ids),
                loss_mask=(False, *encoded.loss_mask),
                offsets=((0, 0), *encoded.offsets),
            )
        if self.fault == "eos-as-pad":
            learned = [learn and id != EOS for id, learn in zip(encoded.ids, encoded.loss_mask, strict=True)]
            return attrs.evolve(encoded, loss_mask=tuple(learned))
        if self.fault == "unsupervised":
            return attrs.evolve(encoded, loss_mask=(False,) * len(encoded.ids))
        return encoded


TOKENIZER_SEED = 3

TURNS = Component(
    "turns",
    target="tests.support.data_plans:TurnsDataset",
    options="tests.support.data_plans:TurnsOptions",
    summary="conversations",
)

FAULTY = Component(
    "faulty",
    target="tests.support.data_plans:FaultyTokenizer",
    options="tests.support.data_plans:FaultyOptions",
    summary="bytes with faults on request",
)

WORDS = Component(
    "words",
    target="tests.support.data_plans:WordsPolicy",
    options="tests.support.data_plans:WordsOptions",
    summary="blocks one word, replaces another",
)


class RoomRegistry:
    """The part of the registry that preparing needs: the room's own components and the fakes of this module."""

    def __init__(self) -> None:
        offered = {
            "datasets": [*plugin.codex_datasets(), TURNS],
            "tokenizers": [*plugin.codex_tokenizers(), FAULTY],
            "safety_policies": [WORDS],
        }
        self._rows = {(kind, row.name): row for kind, rows in offered.items() for row in rows}

    def find(self, kind: str, name: str, *, usable: bool = False) -> Component:
        """The component of a bare name or canonical id."""
        return self._rows[kind, name.rpartition("/")[2]]

    def load(self, row: Component) -> Any:
        """What the target names."""
        return _import(row.target)

    def options_class(self, row: Component) -> type | None:
        """What the options name."""
        return None if row.options is None else _import(row.options)


def make_plan(
    *sources: tuple[str, Mapping[str, Any]],
    base_path: Path = Path(),
    tokenizer: tuple[str, Mapping[str, Any]] = ("bytes", {}),
    safety: Mapping[str, Any] | None = None,
    seq_len: int = 16,
    tokenizer_seed: int = TOKENIZER_SEED,
    **data: Any,
) -> Plan:
    """A plan that reads `sources` (name, options); `safety` gives the options of `WordsPolicy`."""
    choices = [
        Choice(
            section=f"data.sources[{i}]", kind="datasets", name=name, id=f"codex-core/{name}", options=options
        )
        for i, (name, options) in enumerate(sources)
    ]
    name, options = tokenizer
    choices.append(
        Choice(
            section="tokenizer",
            kind="tokenizers",
            name=name,
            id=f"codex-core/{name}",
            version="1.0.0",
            options=options,
        )
    )
    if safety is not None:
        choices.append(
            Choice(section="safety", kind="safety_policies", name="words", id="tests/words", options=safety)
        )
    defaults = {"split": [0.8, 0.1, 0.1], "split_seed": 0, "packing": "concat", "dedup": "exact"}
    return Plan(
        config={"data": defaults | data},
        config_hash="sha256:0",
        name="test",
        seed=0,
        exactness="L1",
        threads=1,
        choices={choice.section: choice for choice in choices},
        seeds={"tokenizer": tokenizer_seed, "data.order": 4},
        seq_len=seq_len,
        batch_rows=None,
        duration=None,
        durations={},
        base_path=base_path,
    )


def make_places(folder: Path) -> Places:
    """Places of a project in `folder`."""
    return Places(root=folder, home=folder / "home", store=folder / "store")


def _import(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
