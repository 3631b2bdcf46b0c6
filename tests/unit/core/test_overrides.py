"""Overrides from the command line: the grammar, and what each form does to what is written."""

from __future__ import annotations

import pytest

from codex_core.errors import ConfigError
from codex_core.planning.configio import origins, parse, plain
from codex_core.planning.overrides import apply, parse_override

WRITTEN = """\
run: {seed: 1}
model: decoder
trainer: {name: torch, lr: 0.1}
data:
  sources:
    - name: pydoc
      topics: false
"""

LISTS = {("data", "sources"): [], ("writers",): [], ("evaluation", "metrics"): [{"name": "bits_per_byte"}]}


def changed(*texts):
    root, mistakes = apply(
        parse(WRITTEN, source="run.yaml"), [parse_override(text) for text in texts], lists=LISTS
    )
    assert mistakes == []
    return root


EXAMPLES = {
    "run.seed=2": lambda c: c["run"] == {"seed": 2},
    "trainer.lr=1e-4": lambda c: c["trainer"] == {"name": "torch", "lr": 1e-4},
    "model=ngram": lambda c: c["model"] == "ngram",
    "model.width=64": lambda c: c["model"] == {"name": "decoder", "width": 64},
    "model.name=ngram": lambda c: c["model"] == {"name": "ngram"},
    "trainer=ngram": lambda c: c["trainer"] == "ngram",
    "trainer.name=ngram": lambda c: c["trainer"] == {"name": "ngram", "lr": 0.1},
    "tokenizer={name: bpe, vocab_size: 300}": lambda c: c["tokenizer"] == {"name": "bpe", "vocab_size": 300},
    "data.sources[0].topics=true": lambda c: c["data"]["sources"][0]["topics"] is True,
    "data.split=[.8, .1, .1]": lambda c: c["data"]["split"] == [0.8, 0.1, 0.1],
    "+data.sources={name: text, path: x}": lambda c: (
        [s["name"] for s in c["data"]["sources"]] == ["pydoc", "text"]
    ),
    "+writers=csv": lambda c: c["writers"] == ["csv"],
    "+evaluation.metrics=perplexity": lambda c: (
        c["evaluation"]["metrics"] == [{"name": "bits_per_byte"}, "perplexity"]
    ),
    "+trainer.warmup=10 steps": lambda c: c["trainer"]["warmup"] == "10 steps",
    "~trainer.lr": lambda c: c["trainer"] == {"name": "torch"},
    "~data.sources[0]": lambda c: c["data"]["sources"] == [],
    "run.name='1'": lambda c: c["run"]["name"] == "1",
    'run.name="a = b"': lambda c: c["run"]["name"] == "a = b",
    "run.name=a=b": lambda c: c["run"]["name"] == "a=b",
    "safety.reason=a: b # c": lambda c: c["safety"]["reason"] == "a: b # c",
    "run.name=''": lambda c: c["run"]["name"] == "",
    "run.threads=null": lambda c: c["run"]["threads"] is None,
    'plugins.pins["models/my.net"]=my-dist': lambda c: c["plugins"]["pins"] == {"models/my.net": "my-dist"},
    "plugins.pins.tokenizers/bpe=d": lambda c: c["plugins"]["pins"] == {"tokenizers/bpe": "d"},
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_override_changes_what_it_names(text):
    """Each form of the grammar does what the documentation says, and nothing else."""
    values = plain(changed(text))
    assert EXAMPLES[text](values)
    untouched = set(plain(parse(WRITTEN, source="x"))) - {
        text.lstrip("+~").partition(".")[0].partition("=")[0]
    }
    assert all(values[key] == plain(parse(WRITTEN, source="x"))[key] for key in untouched)


def test_later_overrides_win_and_say_so():
    """The origin of a value is the override that gave it, the last one of several."""
    found = origins(changed("run.seed=2", "run.seed=3"))
    assert found["run.seed"] == "override run.seed=3"
    assert found["run"] == "run.yaml:1"


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "=1",
        "a=",
        "a..b=1",
        "a.b[=2",
        "[0]=1",
        "a=[1,2",
        "a=.inf",
        "~a=1",
        "a.b'=2",
        "a={b: 1, b: 2}",
        ".a=1",
        "",
    ],
)
def test_an_unreadable_override_is_named_with_its_reason(text):
    """CFG-008 repeats the text as written and tells what was expected."""
    with pytest.raises(ConfigError) as caught:
        parse_override(text)

    error = caught.value
    assert error.code == "CFG-008" and repr(text) in error.what and error.why and error.fix


MISPLACED = {
    "data.sources[1].topics=true": "the list holds 1",
    "~data.sources[4]": "the list holds 1",
    "run.seed.x=1": "a value written at run.yaml:1",
    "run[0]=1": "a mapping written at run.yaml:1",
    "data.sources.topics=true": "a list written at run.yaml:5; elements are named by [0]",
    "+run.seed=3": "written already at run.yaml:1",
    "+data.sources[0]=x": "written already",
    "~run.sed": "did you mean 'seed'?",
    "~evaluation.every": "the default holds already",
}


@pytest.mark.parametrize("text", MISPLACED)
def test_an_override_that_does_not_fit_tells_what_is_there(text):
    """CFG-009 names the obstacle and where it was written."""
    _, mistakes = apply(parse(WRITTEN, source="run.yaml"), [parse_override(text)], lists=LISTS)
    assert [error.code for error in mistakes] == ["CFG-009"]
    assert MISPLACED[text] in (mistakes[0].why or "")


def test_one_bad_override_does_not_hide_another():
    """All mistakes are collected; the good overrides are made."""
    overrides = [parse_override(text) for text in ("~nothing", "run.seed=5", "run.seed.x=1")]
    root, mistakes = apply(parse(WRITTEN, source="run.yaml"), overrides, lists=LISTS)
    assert len(mistakes) == 2
    assert plain(root)["run"]["seed"] == 5
