"""Every registered component keeps its contract: what plugins offer is collected, and each runs its kind's suite.

The suites are the conformance kit's, the examples those that each distribution brings, as for everybody's plugins.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from codex_core.components import KIND_HOOKS
from codex_core.places import find_places
from codex_core.plugins.selection import BUILT_IN, Selection
from codex_core.registry import Registry
from codex_core.testing import conformance

#: Distributions whose suites load torch.
SLOW = ("codex-models",)


def offered() -> list[str]:
    """What there is to check, as ids of cases: each plugin module, and each component that its hooks return."""
    found = []
    for entry in entry_points(group="codex.plugins"):
        assert entry.dist is not None
        if entry.dist.name in BUILT_IN:
            plugin = entry.load()
            found.append(f"plugin/{entry.dist.name}/{entry.name}")
            for kind, hook in KIND_HOOKS.items():
                found += [f"{kind}/{entry.dist.name}/{one.name}" for one in getattr(plugin, hook, tuple)()]
    return sorted(found)


def marked(case_id: str) -> object:
    """A case as a parameter."""
    return pytest.param(case_id, marks=[pytest.mark.slow] if case_id.split("/")[1] in SLOW else [])


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """What is installed of the five distributions."""
    folder = tmp_path_factory.mktemp("registry")
    return Registry.open(
        places=find_places(folder, {"CODEX_HOME": str(folder)}), selection=Selection(only=())
    )


@pytest.fixture(scope="module")
def cases(registry: Registry) -> dict[str, conformance.Case]:
    """The kit's cases by id."""
    dists = sorted({row.dist for row in registry.rows})
    return {case.id: case for dist in dists for case in conformance.cases(registry, dist)}


def test_kit_checks_everything_that_is_offered(cases: dict[str, conformance.Case]) -> None:
    """The kit has one case for each plugin module and each component that a hook returns, and no other."""
    assert sorted(cases) == offered()


def test_every_runtime_has_both_sides(registry: Registry) -> None:
    """Every trainer has a model of its runtime and every model a trainer."""
    sides = [{row.runtime for row in registry.of_kind(kind)} for kind in ("models", "trainers")]

    assert sides[0] == sides[1]


@pytest.mark.parametrize("case_id", [marked(case_id) for case_id in offered()])
def test_component_keeps_its_contract(
    case_id: str, cases: dict[str, conformance.Case], registry: Registry, tmp_path: Path
) -> None:
    """A component passes the suite of its kind; a plugin module is light, quiet and quick to import."""
    case = cases[case_id]
    for module in case.row.requires:
        pytest.importorskip(module)
    conformance.check(case, registry, folder=tmp_path)
