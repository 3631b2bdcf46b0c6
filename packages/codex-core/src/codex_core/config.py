"""The configuration of a run: read, checked as a whole, and written back with every value resolved.

Decisions: every mistake is reported at once, each with its place; a resolved configuration holds canonical ids and
all defaults, and loads again to the same hash. The hash covers the whole meaning, `run.name` included; only the
section `plugins` stays out, because the canonical ids already tell which plugin was taken. Relative paths among
options are read from the working directory, as on any command line, so that the copy in a run's folder means the
same as the file it came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codex_core.canonical import digest_of
from codex_core.errors import CodexError, ConfigError
from codex_core.options import option
from codex_core.planning import layers
from codex_core.planning.choices import Resolved, default_safety, resolve, with_choices, written_choices
from codex_core.planning.configio import Node, dotted, located, origins, plain
from codex_core.planning.idle import idle_values
from codex_core.planning.overrides import Override, apply, parse_override
from codex_core.planning.rules import broken_rules
from codex_core.planning.sections import (
    COMPONENT_LISTS,
    SCHEMA,
    CheckpointSection,
    ComponentChoice,
    DataSection,
    EvaluationSection,
    PluginsSection,
    RunSection,
    TelemetrySection,
)
from codex_core.planning.structuring import Mistake, flat, placed, plain_values, structure, together
from codex_core.planning.versions import with_hint
from codex_core.planning.yamlout import write

if TYPE_CHECKING:
    from codex_core.registry import Registry

__all__ = ["ComponentChoice", "RunConfig", "from_mapping", "load", "plugins_of", "resolved_with"]


#: The fields of sections when hashes of configurations began to be kept; these always count.
_FIRST_FIELDS = {
    "run": ("name", "seed", "exactness", "threads", "log_every"),
    "data": ("sources", "split", "split_seed", "seq_len", "packing", "dedup", "order_seed"),
    "checkpoint": ("every", "keep_last"),
    "evaluation": ("every", "split", "metrics", "max_documents"),
    "telemetry": ("system_metrics", "system_interval_s"),
}


def _at_default(section: Any, *, except_for: Sequence[str]) -> set[str]:
    """The fields of a section that have their default value."""
    fields = [field for field in attrs.fields(type(section)) if field.name not in except_for]
    defaults = {
        field.name: field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]  # a function to mypy
        for field in fields
    }
    return {name for name, default in defaults.items() if getattr(section, name) == default}


def _internal(factory: Any) -> Any:
    """A field that configurations cannot set and that does not take part in equality."""
    return attrs.field(factory=factory, eq=False, repr=False, metadata={"internal": True})


@attrs.frozen(kw_only=True)
class RunConfig:
    """A checked configuration; immutable.

    `written` tells the place of every value that was written, `overrides` the changes from the command line in
    order, `found` the components that a registry resolved, by section, `notices` what the author should know.
    """

    schema: str = option(SCHEMA, doc="the format of the file", choices=(SCHEMA,))
    run: RunSection = option(factory=RunSection, doc="the run as a whole")
    data: DataSection = option(doc="what is read, split and packed")
    tokenizer: ComponentChoice = option(doc="text to token ids")
    model: ComponentChoice = option(doc="what is trained")
    trainer: ComponentChoice = option(doc="how it is trained; shares the model's runtime")
    checkpoint: CheckpointSection = option(factory=CheckpointSection, doc="when checkpoints are saved")
    evaluation: EvaluationSection = option(factory=EvaluationSection, doc="evaluation while training")
    writers: tuple[ComponentChoice, ...] = option((), doc="further places for metric rows", resumable=True)
    safety: ComponentChoice | None = option(
        None, doc="the policy that all text passes; `{name: none, reason: ...}` switches it off"
    )
    telemetry: TelemetrySection = option(factory=TelemetrySection, doc="what is measured beside the training")
    plugins: PluginsSection = option(factory=PluginsSection, doc="which plugins may take part")
    written: Mapping[str, str] = _internal(dict)
    overrides: tuple[str, ...] = _internal(tuple)
    found: Mapping[str, Resolved] = _internal(dict)
    notices: tuple[str, ...] = _internal(tuple)

    def as_dict(self) -> dict[str, Any]:
        """The configuration as plain values: defaults filled in, canonical ids where a registry resolved them."""
        values: dict[str, Any] = plain_values(self)
        if self.safety is None:
            del values["safety"]
        return values

    def to_yaml(self) -> str:
        """The configuration as a file that loads to the same hash."""
        return write(self.as_dict())

    def hash(self) -> str:
        """`sha256:<hex>` over the meaning: not over comments, key order, spelling of numbers or `plugins`.

        A field that sections got later counts where it differs from its default, so that files keep their hash.
        """
        values = {key: value for key, value in self.as_dict().items() if key != "plugins"}
        for name, first in _FIRST_FIELDS.items():
            late = _at_default(getattr(self, name), except_for=first)
            values[name] = {key: value for key, value in values[name].items() if key not in late}
        return digest_of(values)

    @property
    def origins(self) -> dict[str, str]:
        """Where each value of `as_dict` came from, by dotted path: `run.yaml:7`, `override ...` or `default`."""
        return {path: _origin(path, self.written) for path in flat(self.as_dict())}


def load(
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    registry: Registry | None = None,
    preset: str | None = None,
    seed: int | None = None,
    find_presets: layers.FindPresets = layers.installed_presets,
) -> RunConfig:
    """Read a file or a preset, apply the overrides, check everything, and resolve names if a registry is given.

    `seed` is the command line's `--seed`, the last override. Raises `InputError` when a file cannot be read, and
    `ConfigError` (or what the registry raises for an unknown name) with all mistakes otherwise.
    """
    layered, changes, mistakes = _read(path, overrides, preset=preset, seed=seed, find_presets=find_presets)
    config, errors = _assemble(plain(layered.root), origins(layered.root), registry=registry)
    if all_errors := [*mistakes, *errors]:
        raise together(all_errors)
    assert config is not None
    texts = tuple(change.text for change in changes)
    notices = (*layered.notices, *idle_values(config, config.found))
    return attrs.evolve(config, overrides=texts, notices=notices)


def plugins_of(
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    preset: str | None = None,
    find_presets: layers.FindPresets = layers.installed_presets,
) -> PluginsSection:
    """The `plugins` section alone, for whoever opens the registry that the rest is checked with.

    Mistakes are left to `load`, which reports all of them; a section that cannot be read counts as not written.
    """
    layered, _, _ = _read(path, overrides, preset=preset, seed=None, find_presets=find_presets)
    values = plain(layered.root)
    section, _ = structure(PluginsSection, values.get("plugins") or {} if isinstance(values, dict) else {})
    return section or PluginsSection()


def from_mapping(values: Mapping[str, Any], *, source: str, registry: Registry | None = None) -> RunConfig:
    """A configuration from plain values, as `as_dict` gives them; `source` names them in errors."""
    root = located(values, source)
    config, errors = _assemble(plain(root), origins(root), registry=registry)
    if errors:
        raise together(errors)
    assert config is not None
    return config


def resolved_with(config: RunConfig, registry: Registry) -> RunConfig:
    """The configuration with names resolved and options checked; raises `ConfigError` with all mistakes."""
    changed, errors = _assemble(config.as_dict(), config.written, registry=registry)
    if errors:
        raise together(errors)
    assert changed is not None
    return attrs.evolve(changed, overrides=config.overrides, notices=config.notices)


def _assemble(
    values: Any, written: Mapping[str, str], *, registry: Registry | None
) -> tuple[RunConfig | None, list[CodexError]]:
    """The configuration of plain values, or None, and the errors of all checks that could be made."""
    config, mistakes = structure(RunConfig, values)
    places = dict(written)
    found: dict[str, Resolved] = {}
    errors: list[CodexError] = []
    if registry is not None:
        seen = values if config is None else config.as_dict()
        found, wrong, errors = _resolve_all(seen, places, registry)
        mistakes += wrong
    if config is not None:
        if found and not mistakes and not errors:
            config, _ = structure(RunConfig, with_choices(config.as_dict(), found))
            assert config is not None, "resolved components keep the shape of a configuration"
        config = attrs.evolve(config, written=places, found=found)
        mistakes += broken_rules(config, found)
    mistakes = [with_hint(mistake) for mistake in mistakes]
    return config, [*(mistake.error(_place(mistake.path, places)) for mistake in mistakes), *errors]


def _resolve_all(
    values: Any, places: dict[str, str], registry: Registry
) -> tuple[dict[str, Resolved], list[Mistake], list[CodexError]]:
    """Every component resolved that can be, the mistakes in options, and the errors about names."""
    found: dict[str, Resolved] = {}
    mistakes: list[Mistake] = []
    errors: list[CodexError] = []
    plugins, _ = structure(PluginsSection, values.get("plugins", {}) if isinstance(values, Mapping) else {})
    choices = list(written_choices(values))
    if isinstance(values, Mapping) and values.get("safety") is None:
        try:
            choices += [("safety", "safety_policies", name) for name in default_safety(registry)]
            places.setdefault("safety.name", "default: the installed policy")
        except CodexError as error:
            errors.append(error)
    for section, kind, choice in choices:
        try:
            found[section], wrong = resolve(
                section, kind, choice, registry=registry, pins=plugins.pins if plugins else {}
            )
            mistakes += wrong
        except CodexError as error:
            errors.append(
                placed(error, error.where or f"{_place(dotted(section, 'name'), places)}, {section}")
            )
    return found, mistakes, errors


def _read(
    path: Path | None,
    overrides: Sequence[str],
    *,
    preset: str | None,
    seed: int | None,
    find_presets: layers.FindPresets,
) -> tuple[layers.Layers, list[Override], list[CodexError]]:
    """What is written once everything is laid over each other, the changes made, and those that could not be made."""
    if path is not None and preset is not None:
        why = f"{path} and the preset {preset!r} were both given"
        raise ConfigError(
            code="CFG-010",
            what="a run has one configuration",
            why=why,
            fix=f"write `extends: {preset}` into {path}",
        )
    if path is not None:
        layered = layers.read_layers(path, find_presets)
    elif preset is not None:
        layered = layers.read_preset(preset, find_presets)
    else:
        layered = layers.Layers(Node({}, "command line"))
    changes, mistakes = _read_overrides(overrides)
    if seed is not None:
        changes.append(Override("set", ("run", "seed"), seed, f"run.seed={seed}"))
    root, misplaced = apply(layered.root, changes, lists=_list_defaults())
    return attrs.evolve(layered, root=root), changes, [*mistakes, *misplaced]


def _read_overrides(texts: Sequence[str]) -> tuple[list[Override], list[CodexError]]:
    read: list[Override] = []
    errors: list[CodexError] = []
    for text in texts:
        try:
            read.append(parse_override(text))
        except ConfigError as error:
            errors.append(error)
    return read, errors


def _list_defaults() -> dict[tuple[str | int, ...], list[Any]]:
    """The places that hold lists, with what stands there when nothing is written."""
    metrics = plain_values(EvaluationSection().metrics)
    places = [*COMPONENT_LISTS, "plugins.only", "plugins.off"]
    return {tuple(place.split(".")): metrics if place == "evaluation.metrics" else [] for place in places}


def _place(path: str, written: Mapping[str, str]) -> str:
    """Where a reader looks for `path`: its own line, or that of the nearest thing around it that was written."""
    while path not in written and path:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return written.get(path, "command line")


def _origin(path: str, written: Mapping[str, str]) -> str:
    if path in written:
        return written[path]
    holder = path.removesuffix(".name")
    is_short = (
        holder != path and holder in written and not any(key.startswith(f"{holder}.") for key in written)
    )
    return written[holder] if is_short else "default"
