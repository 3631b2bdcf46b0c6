"""How a component or a configuration section declares one option.

Decisions: options classes are frozen, keyword-only attrs classes; default, meaning, unit and bounds stand at the
field itself, so that validation, `registry show`, `config explain` and the reference read one place.

    @attrs.frozen(kw_only=True)
    class MyOptions:
        lr: float = option(3e-4, doc="peak learning rate", minimum=0.0)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

#: Metadata keys of an option, as they stand in `attrs.fields(cls).name.metadata`.
METADATA_KEYS = ("doc", "unit", "choices", "minimum", "maximum", "resumable", "only_with")

REQUIRED: Any = attrs.NOTHING


def option(
    default: Any = REQUIRED,
    *,
    doc: str,
    unit: str | None = None,
    choices: Sequence[Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    resumable: bool = False,
    only_with: tuple[str, tuple[Any, ...]] | None = None,
    factory: Any = None,
) -> Any:
    """Declare an option: `doc` one sentence, bounds inclusive, `resumable` whether a resume may change it.

    `only_with` names another option of the class and the values of it with which this one has an effect; whoever
    sets this one without is told so. Without a default the option is required. `factory` builds a mutable default.
    Bounds and choices are enforced at construction (`ValueError`), whoever constructs.
    """
    metadata = {
        "doc": doc,
        "unit": unit,
        "choices": None if choices is None else tuple(choices),
        "minimum": minimum,
        "maximum": maximum,
        "resumable": resumable,
        "only_with": only_with,
    }
    if factory is not None:
        return attrs.field(factory=factory, metadata=metadata, validator=_check)
    return attrs.field(default=default, metadata=metadata, validator=_check)


def _check(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    meta = attribute.metadata
    if value is None:
        return
    if meta["choices"] is not None and value not in meta["choices"]:
        raise ValueError(
            f"{attribute.name} must be one of {', '.join(map(str, meta['choices']))}; got {value!r}"
        )
    if meta["minimum"] is not None and not value >= meta["minimum"]:
        raise ValueError(f"{attribute.name} must be at least {meta['minimum']}; got {value!r}")
    if meta["maximum"] is not None and not value <= meta["maximum"]:
        raise ValueError(f"{attribute.name} must be at most {meta['maximum']}; got {value!r}")
