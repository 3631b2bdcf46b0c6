"""The hash of a configuration as a property: equal for equal meanings, however they are written, else different."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from codex_core import config
from codex_core.planning.configio import parse, plain
from codex_core.planning.overrides import apply, parse_override
from codex_core.planning.yamlout import flow, write
from tests.support.our_plugins import our_registry

REGISTRY = our_registry()

WHOLE = {
    "run": {"name": "a", "seed": 1, "log_every": "3 steps", "exactness": "L1", "threads": 2},
    "data": {"sources": [{"name": "pydoc", "topics": True}], "seq_len": 64, "split_seed": 3, "dedup": "none"},
    "tokenizer": {"name": "bytes"},
    "model": {"name": "ngram", "order": 4},
    "trainer": {"name": "ngram", "duration": "2 epochs", "batch_rows": 8},
    "checkpoint": {"every": "7 steps", "keep_last": 3},
    "evaluation": {"every": "0 steps", "split": "test", "max_documents": 9},
    "telemetry": {"system_metrics": "cpu", "system_interval_s": 2.0},
    "safety": {"name": "none", "reason": "a test"},
}

#: Values that each key can have; two of one key never mean the same.
OTHERS: dict[str, list[Any]] = {
    "run.name": ["a", "b", "A"],
    "run.seed": [0, 1, 2**40],
    "run.log_every": ["3 steps", "4 steps", "3 epochs", "3 tokens"],
    "run.threads": [2, None, 1],
    "data.seq_len": [64, 65],
    "data.split_seed": [3, 0],
    "data.dedup": ["none", "exact"],
    "model.order": [4, 5],
    "trainer.duration": ["2 epochs", "2.5 epochs", "2 steps"],
    "trainer.batch_rows": [8, 9],
    "checkpoint.every": ["7 steps", "0 steps"],
    "evaluation.max_documents": [9, None],
    "telemetry.system_interval_s": [2.0, 2.0000000000000004],
    "safety.reason": ["a test", "a test "],
}


def hash_of(text: str) -> str:
    return config.from_mapping(
        plain(parse(text, source="run.yaml")), source="run.yaml", registry=REGISTRY
    ).hash()


def spelt(value: Any, draw: Any) -> str:
    """One of the spellings of a value."""
    if isinstance(value, bool) or value is None:
        return flow(value)
    if isinstance(value, int):
        return draw(st.sampled_from([str(value), hex(value), oct(value), f"+{value}", f"0{value}"]))
    if isinstance(value, float):
        return draw(st.sampled_from([repr(value), f"{value:.17e}", f"0{value!r}"]))
    amount, _, unit = value.partition(" ")
    if amount.replace(".", "").isdigit() and unit in ("steps", "epochs", "tokens"):
        plural = draw(st.sampled_from([unit, unit.removesuffix("s")]))
        return draw(
            st.sampled_from([f"{amount} {plural}", f'"{amount}{unit}"', f"'{float(amount):e} {plural}'"])
        )
    return draw(st.sampled_from([flow(value), "'" + value + "'", '"' + value + '"']))


@st.composite
def writings(draw, values=WHOLE):
    """A text that means `values`: keys in another order, values in another spelling, comments in between."""
    lines = []
    for section in draw(st.permutations(list(values))):
        lines += [draw(st.sampled_from(["", "# a comment\n", "\n"])) + f"{section}:"]
        for key in draw(st.permutations(list(values[section]))):
            held = values[section][key]
            shown = flow(held) if isinstance(held, list) else spelt(held, draw)
            lines.append(f"  {key}: {shown}{draw(st.sampled_from(['', '  # why']))}")
    return "\n".join(lines) + "\n"


@given(writings())
@settings(max_examples=60)
def test_every_writing_of_one_meaning_has_one_hash(text):
    """Order, spelling of numbers, durations and texts, and comments are no part of the meaning."""
    assert hash_of(text) == hash_of(write(WHOLE))


@given(st.fixed_dictionaries({key: st.sampled_from(values) for key, values in OTHERS.items()}), st.data())
@settings(max_examples=60)
def test_hashes_are_equal_exactly_when_meanings_are(chosen, data):
    """Two configurations that differ in any set of keys differ in their hash, and only then."""
    other = {
        key: data.draw(st.sampled_from(values)) for key, values in OTHERS.items() if data.draw(st.booleans())
    }
    hashes = [hash_of(write(with_values(values))) for values in (chosen, {**chosen, **other})]
    assert (hashes[0] == hashes[1]) == ({**chosen, **other} == chosen)


@given(st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in OTHERS.items()}))
@settings(max_examples=40)
def test_an_override_means_what_the_file_would_say(changed):
    """The same change on the command line and in the file gives the same hash, and so does the resolved file."""
    values = with_values(changed)
    overrides = [parse_override(f"{key}={flow(value)}") for key, value in changed.items()]
    root, mistakes = apply(parse(write(WHOLE), source="base"), overrides, lists={})
    assert mistakes == []
    loaded = config.from_mapping(plain(root), source="base", registry=REGISTRY)
    assert loaded.hash() == hash_of(write(values)) == hash_of(loaded.to_yaml())


def with_values(changed: dict[str, Any]) -> dict[str, Any]:
    """WHOLE with some keys changed."""
    values: dict[str, Any] = {section: dict(held) for section, held in WHOLE.items()}
    for path, value in changed.items():
        section, _, key = path.partition(".")
        values[section][key] = value
    return values
