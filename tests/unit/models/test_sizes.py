"""Named sizes: the numbers they stand for, and what contradicts them."""

from __future__ import annotations

import attrs
import pytest

from codex_core.planning.structuring import options_from, plain_values
from codex_models.options import DecoderOptions
from codex_models.sizes import SIZES


def test_sizes_keep_their_numbers():
    """A released size never changes: locks and checkpoints that name it hold the same numbers."""
    assert {name: tuple(size) for name, size in SIZES.items()} == {
        "nano": (2, 64, 2, 192, True),
        "tiny": (4, 128, 4, 384, True),
        "S": (6, 256, 4, 768, False),
        "M": (12, 512, 8, 1408, False),
        "L": (12, 768, 12, 2048, False),
        "XL": (24, 1024, 16, 2816, False),
    }


@pytest.mark.parametrize("name", SIZES)
def test_size_fills_in_explicit_numbers(name):
    """Options with a size hold its numbers as plain values, which make equal options again."""
    options = DecoderOptions(size=name)
    values = plain_values(options)

    assert {field: values[field] for field in SIZES[name]._fields} == SIZES[name]._asdict()
    assert all(type(values[field]) in (int, bool) for field in SIZES[name]._fields)
    assert options_from(DecoderOptions, values, where="model") == options


def test_measured_sizes_have_the_parameters_they_are_known_for():
    """S has 9.3 and M 71.3 million parameters over the vocabularies they are measured with."""
    assert DecoderOptions(size="S").num_parameters(8192) == 9_309_440
    assert DecoderOptions(size="M").num_parameters(32000) == 71_315_968


@pytest.mark.parametrize(("field", "value"), [("layers", 6), ("width", 512), ("ffn_width", 64)])
def test_number_beside_a_size_must_be_the_sizes(field, value):
    """A number that contradicts the size is refused with both; the default, written by hand, is such a number."""
    with pytest.raises(ValueError, match=rf"size=tiny contradicts {field}={value} \(the size has \d+\)"):
        DecoderOptions(size="tiny", **{field: value})
    agreeing = getattr(DecoderOptions(size="tiny"), field)
    assert DecoderOptions(size="tiny", **{field: agreeing}) == DecoderOptions(size="tiny")


def test_without_a_size_defaults_are_plain_numbers():
    """Nothing of the way defaults are told from written numbers is left in the options."""
    options = DecoderOptions()

    assert (options.layers, options.width, options.heads, options.tied_embeddings) == (6, 256, 4, True)
    assert {type(getattr(options, name)) for name in ("layers", "width", "heads")} == {int}
    assert attrs.evolve(options, layers=2).layers == 2
