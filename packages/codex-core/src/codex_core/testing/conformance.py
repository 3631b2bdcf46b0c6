"""Everything that a distribution offers, put through the suite of its kind.

Decisions: what there is to check comes from the registry, so a component that cannot be loaded fails with the reason
and the fix of its row; a model is tried after a training and a trainer on a model, so each of them needs one of its
own runtime, from any installed distribution; what a component is tried with comes from its plugin module, which
may name a function: `CODEX_EXAMPLES = "my_pkg.examples:examples"`. It is called with an empty folder and returns, by
`kind/name`, the `options` of a component as a configuration would give them, and beside them whatever its suite
takes: `forbidden` for policies, `tolerance` for models, `most` and `refused` for datasets, `read` for writers.
A component without an example is tried with its default options.
"""

from __future__ import annotations

import importlib
import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from codex_core import CODEX_API, __version__
from codex_core.components import KINDS, normalised_dist
from codex_core.contracts import Loaded
from codex_core.errors import MissingDependency, UsageError
from codex_core.places import Places
from codex_core.planning.structuring import options_from
from codex_core.plugins import loading
from codex_core.plugins.selection import Selection
from codex_core.registry import Registry, Row
from codex_core.testing import models
from codex_core.testing.claims import claim
from codex_core.testing.commands import check_command
from codex_core.testing.datasets import check_dataset
from codex_core.testing.metrics import check_metric
from codex_core.testing.models import check_model
from codex_core.testing.modules import check_plugin_module
from codex_core.testing.policies import check_policy
from codex_core.testing.shell import SmallRows, small_documents, small_lock
from codex_core.testing.tokenizers import check_tokenizer
from codex_core.testing.trainers import check_trainer, train_once
from codex_core.testing.writers import check_writer

#: What the kit says of itself at the head of a report.
KIT = f"codex conformance kit {__version__}, plugin API {'.'.join(map(str, CODEX_API))}"

#: The words that a component of a kind may declare; the suite holds it to each of them.
CAPABILITIES: dict[str, frozenset[str]] = {
    **dict.fromkeys(KINDS, frozenset()),
    "tokenizers": frozenset({"lossless", "offsets"}),
    "trainers": frozenset({"finetune", "lora"}),
    "models": models.CAPABILITIES,
    "writers": frozenset({"durable", "scalars"}),
    "safety_policies": frozenset({"block", "redact", "stream"}),
}

#: The name under which a plugin module says where its examples are.
EXAMPLES = "CODEX_EXAMPLES"

_VOCAB_SIZE = 12


@attrs.frozen(kw_only=True)
class Case:
    """One thing to check: a component, or (kind `plugin`) the module that describes components."""

    kind: str
    row: Row

    @property
    def id(self) -> str:
        """`tokenizers/my-tok/words`, or `plugin/my-tok/words` for the module behind an entry point."""
        return (
            f"{self.kind}/{self.row.dist}/{self.row.entry_point if self.kind == 'plugin' else self.row.name}"
        )


@attrs.frozen(kw_only=True)
class Trial:
    """A component, imported, with the options of its example and what its suite is given besides."""

    row: Row
    target: Any
    options: Any
    more: Mapping[str, Any]

    @property
    def loaded(self) -> Loaded:
        """The component as trainers are given it."""
        return Loaded(id=self.row.id, target=self.target, options=self.options)


def open_registry(dists: Sequence[str]) -> Registry:
    """What these distributions offer, and the built-in ones; the index is a temporary one.

    Raises `MissingDependency` for a distribution that is not installed, or that no entry point makes a plugin.
    """
    with tempfile.TemporaryDirectory(prefix="codex-conformance-") as folder:
        scratch = Path(folder)
        places = Places(root=scratch, home=scratch / "home", store=scratch / "store")
        try:
            return Registry.open(places=places, selection=Selection(only=dists), environ={})
        except UsageError as error:
            raise MissingDependency(
                code="REG-030",
                what=f"not every one of these is an installed plugin: {', '.join(map(repr, dists))}",
                why=error.why,
                fix="pip install -e FOLDER, then codex registry list",
            ) from error


def cases(registry: Registry, dist: str) -> list[Case]:
    """What there is to check of a distribution: its plugin modules, then its components."""
    rows = [row for row in registry.rows if row.dist == normalised_dist(dist)]
    modules = {row.entry_point: row for row in rows}
    found = [
        Case(kind="plugin", row=row) for _, row in sorted(modules.items(), key=lambda pair: str(pair[0]))
    ]
    return found + [Case(kind=row.kind, row=row) for row in rows if row.kind in KINDS]


def check(case: Case, registry: Registry, *, folder: Path) -> None:
    """Run the suite of a case in the empty `folder`; raises `AssertionError` for the first broken promise."""
    row = case.row
    claim(
        row.usable or row.kind == "events",
        f"{row.id} is {row.state} ({row.reason}): {row.hint}; fix: {row.fix}",
    )
    if case.kind == "plugin":
        assert row.module is not None
        check_plugin_module(row.module)
        return
    unknown = row.capabilities - CAPABILITIES[row.kind]
    known = ", ".join(sorted(CAPABILITIES[row.kind])) or "none"
    claim(
        not unknown,
        f"unknown capabilities: {', '.join(sorted(unknown))}; of {row.kind} the suite knows {known}",
    )
    _SUITES[row.kind](trial(row, registry, folder=_below(folder, "example")), registry, folder)


def trial(row: Row, registry: Registry, *, folder: Path) -> Trial:
    """Import a component and build the options of its example; the example's files go into `folder`."""
    target = registry.load(row)
    cls = registry.options_class(row)
    more = _example(row, folder)
    given = more.pop("options", {})
    claim(not given or cls is not None, f"the example of {row.id} has options, but the component takes none")
    options = None if cls is None else options_from(cls, given, where=f"the example of {row.kind}/{row.name}")
    return Trial(row=row, target=target, options=options, more=more)


def _example(row: Row, folder: Path) -> dict[str, Any]:
    assert row.module is not None
    reference = getattr(importlib.import_module(row.module), EXAMPLES, None)
    if reference is None:
        return {}
    make = loading.load_target(reference, dist=row.dist, what=f"the examples of {row.dist}")
    examples = make(folder)
    claim(isinstance(examples, Mapping), f"{reference} must return examples by kind/name")
    wrong = [key for key in examples if key.partition("/")[0] not in KINDS]
    claim(not wrong, f"{reference} names {', '.join(map(str, wrong))}; an example belongs to kind/name")
    return dict(examples.get(f"{row.kind}/{row.name}", {}))


def _below(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    return path


def _call(suite: Callable[..., Any], tried: Trial, *arguments: Any, **given: Any) -> Any:
    """Run a suite with what the example adds; an addition that the suite does not take is the author's mistake."""
    parameters = inspect.signature(suite).parameters
    unknown = set(tried.more) - set(parameters)
    takes = ", ".join(["options", *(name for name in parameters if name not in ("cls", "options", *given))])
    claim(
        not unknown, f"the example of {tried.row.id} has {', '.join(sorted(unknown))}; it may have: {takes}"
    )
    if tried.row.capabilities and "capabilities" in parameters:
        given["capabilities"] = tried.row.capabilities
    return suite(tried.target, *arguments, **{**given, **tried.more})


def _tokenizer(tried: Trial, registry: Registry, folder: Path) -> None:
    _call(check_tokenizer, tried, tried.options, folder=_below(folder, "artefact"))


def _dataset(tried: Trial, registry: Registry, folder: Path) -> None:
    cls = registry.options_class(tried.row)
    given = tried.more.get("refused", ())
    claim(
        not given or cls is not None,
        f"the example of {tried.row.id} has options, but the component takes none",
    )
    refused: list[Any] = [options_from(cls, one, where="refused") for one in given] if cls else []
    tried = attrs.evolve(tried, more={**tried.more, "refused": refused})
    _call(check_dataset, tried, tried.options)


def _metric(tried: Trial, registry: Registry, folder: Path) -> None:
    _call(check_metric, tried, tried.options)


def _writer(tried: Trial, registry: Registry, folder: Path) -> None:
    _call(check_writer, tried, tried.options, folder=_below(folder, "run"))


def _policy(tried: Trial, registry: Registry, folder: Path) -> None:
    claim(
        bool(tried.more.get("forbidden")),
        f"the example of {tried.row.id} must name `forbidden` texts, or nothing shows that the policy finds any",
    )
    _call(check_policy, tried, tried.options)


def _model(tried: Trial, registry: Registry, folder: Path) -> None:
    trainer = next(_partners("trainers", tried.row, registry, folder), None)
    claim(
        trainer is not None,
        f"no usable trainer has the runtime {tried.row.runtime!r}, so nothing can train the model",
    )
    assert trainer is not None
    last = train_once(
        trainer.target, trainer.options, model=tried.loaded, folder=_below(folder, "runs"), **_run()
    )
    _call(check_model, tried, tried.options, trained=last / "model", empty=_below(folder, "empty"))


def _trainer(tried: Trial, registry: Registry, folder: Path) -> None:
    model = next(_partners("models", tried.row, registry, folder), None)
    claim(
        model is not None,
        f"no usable model has the runtime {tried.row.runtime!r}, so there is nothing to train",
    )
    assert model is not None
    _call(check_trainer, tried, tried.options, model=model.loaded, folder=_below(folder, "runs"), **_run())


def _command(tried: Trial, registry: Registry, folder: Path) -> None:
    check_command(tried.target, name=tried.row.name)


def _partners(kind: str, row: Row, registry: Registry, folder: Path) -> Iterator[Trial]:
    """Components of the same runtime, those of the same distribution first."""
    rows = [one for one in registry.of_kind(kind) if one.runtime == row.runtime and one.usable]
    for one in sorted(rows, key=lambda one: (one.dist != row.dist, one.id)):
        yield trial(one, registry, folder=_below(folder, f"partner-{one.dist}-{one.name}"))


def _run() -> dict[str, Any]:
    """A short run with checkpoints and evaluations in the middle."""
    data = SmallRows(documents=small_documents(12, seed=1, vocab_size=_VOCAB_SIZE), seq_len=20)
    lock = small_lock(data, vocab_size=_VOCAB_SIZE, steps=4, batch_rows=2, save_every=2, evaluate_every=2)
    return {"data": data, "lock": lock}


_SUITES: dict[str, Callable[[Trial, Registry, Path], None]] = {
    "tokenizers": _tokenizer,
    "models": _model,
    "datasets": _dataset,
    "metrics": _metric,
    "writers": _writer,
    "safety_policies": _policy,
    "trainers": _trainer,
    "commands": _command,
}
