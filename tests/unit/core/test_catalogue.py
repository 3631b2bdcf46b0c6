"""Where a saved tokenizer is looked for: the order of places, and all of them on failure."""

from __future__ import annotations

import os

import pytest

from codex_core.catalogue import VARIABLE, find_tokenizer
from codex_core.errors import InputError
from codex_core.places import find_places


def test_places_are_tried_in_their_order(tmp_path):
    """As named, the folders of the variable, the project's catalogue, the user's: the first that exists is it."""
    environ = {
        VARIABLE: os.pathsep.join([str(tmp_path / "one"), "", str(tmp_path / "two")]),
        "CODEX_HOME": str(tmp_path / "home"),
    }
    places = find_places(tmp_path / "base", environ)
    inside = [
        places.home / "tokenizers" / "words",
        places.state / "tokenizers" / "words",
        tmp_path / "two" / "words",
        tmp_path / "one" / "words",
        tmp_path / "base" / "words",
    ]
    for path in inside:  # from the last place to the first
        path.mkdir(parents=True)
        assert find_tokenizer("words", base=tmp_path / "base", places=places, environ=environ) == path


@pytest.mark.parametrize("named", ["words", "sub/words", "/absent/words"])
def test_a_failure_lists_every_place(named, tmp_path):
    """Exit 4; a path is tried as a path alone, a bare name everywhere, and the unset variable is named."""
    environ = {"CODEX_HOME": str(tmp_path / "home")}
    places = find_places(tmp_path, environ)

    with pytest.raises(InputError) as caught:
        find_tokenizer(named, base=tmp_path, places=places, environ=environ)
    why = str(caught.value.why)
    assert caught.value.code == "TOK-007"
    assert str(tmp_path / named) in why
    assert (str(places.home / "tokenizers" / "words") in why) == (named == "words")
    assert (f"{VARIABLE} is not set" in why) == (named == "words")
