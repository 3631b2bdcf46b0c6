"""What the room offers through the plugin door."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import attrs
import pytest

from codex_core.data import plugin

OFFERED = [*plugin.codex_datasets(), *plugin.codex_tokenizers()]


@pytest.mark.parametrize("component", OFFERED, ids=lambda component: component.name)
def test_targets_and_options_exist(component):
    """Every target resolves where its libraries are, and every option says what it is for."""
    for module in component.requires:
        pytest.importorskip(module)
    for place in filter(None, (component.target, component.options)):
        module, _, name = place.partition(":")
        found = getattr(import_module(module), name)
        assert isinstance(found, type)
    if component.options:
        assert all(field.metadata["doc"] for field in attrs.fields(found))


def test_describing_loads_nothing_heavy():
    """Importing the plugin module loads neither numpy nor any reader."""
    code = (
        "import sys, codex_core.data.plugin as plugin\n"
        "plugin.codex_datasets(); plugin.codex_tokenizers()\n"
        "heavy = {'numpy', 'orjson', 'blake3', 'attrs', 'codex_core.data.jsonl'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
