"""Kill trainings anywhere, resume them, and compare: the crash kit over our own trainers."""

from __future__ import annotations

import importlib.util
import random
from collections import Counter

import pytest

from codex_core.testing.crash import Lab, Server
from tests.support.crash_cases import CASES, SLOW, case, imports_of, write_corpus

SEED = 20261121

#: Kills per phase of a full count, and what must really have been hit.
FULL = {"save": 44, "prune": 16, "resume": 24, "evaluation": 32, "step": 8}
BARS = {"save": 20, "prune": 10, "resume": 10, "evaluation": 10}


def lab_for(name, folder, server):
    """A project for one case, with its corpus."""
    write_corpus(folder)
    return Lab(case=case(name), server=server, folder=folder)


def require(name):
    """Skip the cases of siblings that are not installed."""
    for module in imports_of(name):
        if not module.startswith("codex_core"):
            pytest.importorskip(module.partition(".")[0])
    if "torch" in CASES[name][1]:
        pytest.importorskip("torch")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ngram", "full"])
def test_sample_of_kills_costs_nothing(name, tmp_path, capsys):
    """One kill in each phase: the newest verified checkpoint is at most one interval old, and the end is the same."""
    require(name)
    with Server(imports_of(name)) as server:
        lab = lab_for(name, tmp_path, server)
        expected = lab.unbroken()
        phases = ["save", "resume", "prune"] if name == "full" else ["step", "save", "evaluation", "prune"]
        outcome = lab.broken("broken", phases=phases, seed=SEED, expected=expected)

    with capsys.disabled():
        print(f"\n{name}: kills by phase {dict(outcome.hit)}, seed {SEED}")
    assert outcome.hit.total() + outcome.missed == outcome.attempts and outcome.hit.total() >= 2


@pytest.mark.proof
def test_hundred_kills_cost_nothing(tmp_path, capsys):
    """At least 100 kills over all cases and phases: no loss, and each run ends with the bytes of the unbroken one."""
    names = [
        name for name in CASES if "torch" not in CASES[name][1] or importlib.util.find_spec("codex_models")
    ]
    chance, hits = random.Random(SEED), Counter()
    missed = runs = 0
    by_case = {}
    wanted = [phase for phase, count in FULL.items() for _ in range(count)]
    chance.shuffle(wanted)
    often = [name for name in names if name not in SLOW]
    shares = {name: wanted[index :: len(often)] for index, name in enumerate(often)}
    shares |= {name: ["save", "resume", "evaluation"] for name in names if name in SLOW}
    for name in names:
        by_case[name] = Counter()
        with Server(imports_of(name)) as server:
            lab = lab_for(name, tmp_path / name, server)
            expected = lab.unbroken()
            phases = shares[name]
            while phases:
                now = in_order(phases[:8])
                outcome = lab.broken(f"broken-{runs}", phases=now, seed=SEED + runs, expected=expected)
                for phase in now[: outcome.attempts]:
                    if phase in phases:
                        phases.remove(phase)
                by_case[name] += outcome.hit
                missed, runs = missed + outcome.missed, runs + 1
        hits += by_case[name]

    with capsys.disabled():
        print(f"\ncrash kit: {hits.total()} kills in {runs} runs, {missed} came after the end, seed {SEED}")
        for phase, count in hits.most_common():
            print(f"  {phase:<12}{count:>4}  {'#' * count}")
        for name, counted in by_case.items():
            print(f"  {name}: {dict(counted)}")
    assert hits.total() >= 100
    assert {phase: hits[phase] for phase in BARS if hits[phase] < BARS[phase]} == {}


def in_order(phases):
    """The same phases, one that is not a resume first: what has not begun cannot be resumed; if need be one more."""
    if all(phase == "resume" for phase in phases):
        return ["step", *phases]
    return sorted(phases[:], key=lambda phase: phase == "resume")[:1] + _without_first(phases)


def _without_first(phases):
    first = sorted(phases[:], key=lambda phase: phase == "resume")[0]
    rest = list(phases)
    rest.remove(first)
    return rest
