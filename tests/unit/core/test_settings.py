"""Settings files of plugins' commands: places in every mistake, overrides, options within."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from codex_core.errors import ConfigError
from codex_core.options import option
from codex_core.settings import load_settings


@attrs.frozen(kw_only=True)
class Inner:
    """Options of a part."""

    size: int = option(3, doc="how large", minimum=1)


@attrs.frozen(kw_only=True)
class Whole:
    """Options of a file."""

    name: str = option(doc="its name")
    part: Inner = option(Inner(), doc="a part")


def written(tmp_path: Path, text: str) -> Path:
    """A settings file."""
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return path


def test_values_and_overrides_become_options(tmp_path):
    """What stands in the file, changed by what stands on the command line."""
    settings = load_settings(written(tmp_path, "name: a\npart: {size: 2}\n"), ["part.size=5"])

    assert settings.build(Whole) == Whole(name="a", part=Inner(size=5))
    assert settings.build(Inner, {"size": 7}, path="part") == Inner(size=7)


def test_every_mistake_is_told_with_its_line(tmp_path):
    """Unknown keys and bounds: one error that carries the others, each with file and line."""
    path = written(tmp_path, "name: a\npart:\n  size: 0\n  sise: 1\n")

    with pytest.raises(ConfigError) as caught:
        load_settings(path).build(Whole)
    said = str(caught.value)
    assert f"{path}:3" in said and f"{path}:4" in said and "at least 1" in said


@pytest.mark.parametrize("overrides", [["nonsense"], ["part.size[0]=1"], ["~absent"]])
def test_an_override_that_cannot_be_made_is_refused(overrides, tmp_path):
    """Grammar and places of overrides are those of the configuration."""
    with pytest.raises(ConfigError):
        load_settings(written(tmp_path, "name: a\npart: {size: 2}\n"), overrides)


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    """A list is no settings file."""
    with pytest.raises(ConfigError, match="expected a mapping"):
        load_settings(written(tmp_path, "- a\n"))
