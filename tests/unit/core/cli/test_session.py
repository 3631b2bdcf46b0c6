"""Global flags: where they may stand, and what is left for the command."""

from __future__ import annotations

import pytest

from codex_core.cli.main import main
from codex_core.cli.session import Flags, split_flags


@pytest.mark.parametrize(
    "arguments",
    [
        ["--debug", "-v", "train", "run.yaml"],
        ["train", "--debug", "run.yaml", "-v"],
        ["train", "run.yaml", "-v", "--debug"],
    ],
)
def test_global_flags_are_taken_out_wherever_they_stand(arguments):
    """Flags before, between and after the command's own words mean the same."""
    flags, rest = split_flags(arguments)

    assert flags == Flags(verbosity=1, debug=True)
    assert rest == ["train", "run.yaml"]


def test_everything_after_two_dashes_belongs_to_the_command():
    """A word that looks like a flag is kept behind `--`."""
    flags, rest = split_flags(["generate", "--", "-q", "--debug"])

    assert flags == Flags()
    assert rest == ["generate", "--", "-q", "--debug"]


def test_plugins_to_leave_out_are_collected_in_order():
    """`-p no:NAME` may be given several times."""
    flags, rest = split_flags(["-p", "no:first", "registry", "list", "-p", "no:second"])

    assert flags.plugins == ("no:first", "no:second")
    assert rest == ["registry", "list"]


def test_glued_plugin_flag_is_taken_too():
    """`-pno:NAME` is the same as `-p no:NAME`."""
    assert split_flags(["registry", "list", "-pno:first"])[0].plugins == ("no:first",)


@pytest.mark.parametrize("value", ["first", "yes:first", "no"])
def test_plugin_flag_without_no_is_refused(value, capsys):
    """`-p NAME` switches nothing off in silence: it is exit 2, and says which form is meant."""
    assert main(["registry", "show", "ngram", "-p", value]) == 2
    assert f"'{value}' is not of the form no:NAME" in capsys.readouterr().err


def test_help_works_with_a_misspelt_selection(capsys, monkeypatch):
    """Who misspells a plugin can still read help, which says what is the matter."""
    monkeypatch.setenv("CODEX_PLUGINS_OFF", "none-such")

    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "Explain topics" in shown
    assert "Commands of plugins cannot be told: no installed plugin is called 'none-such'." in shown
