"""Beginning with the parameters of a folder instead of with chance."""

from __future__ import annotations

import attrs
import pytest

from codex_core.errors import ConfigError, InputError
from codex_models.decoder import Decoder
from codex_models.state import model_fingerprint
from tests.support.decoders import TINY, VOCAB_SIZE, decoder


@pytest.fixture
def folder(tmp_path):
    """A model folder with a tiny decoder in it."""
    model = decoder()
    model.context_length = 40
    (tmp_path / "model").mkdir()
    for name, write in model.payload(model.trainable()).items():
        write(tmp_path / "model" / name)
    return tmp_path


def _built(**changes):
    return Decoder.build(attrs.evolve(TINY, **changes), vocab_size=VOCAB_SIZE, seed=77)


@pytest.mark.parametrize("inner", ["", "model"])
def test_weights_of_a_folder_are_the_first_parameters(folder, inner):
    """A checkpoint's folder, or the model folder in it: every parameter is the one held there, whatever the seed."""
    built = _built(weights=str(folder / inner))

    assert model_fingerprint(built) == model_fingerprint(decoder())
    assert model_fingerprint(_built()) != model_fingerprint(built)
    assert built.context_length is None, "rows decide, as for any decoder that rotates"


def test_dropout_is_no_part_of_the_shape(folder):
    """What changes no function of the opened model may differ."""
    assert _built(weights=str(folder), dropout=0.5).options.dropout == 0.5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers": 1}, "layers: 1 here, 2 there"),
        ({"kv_heads": 1}, "kv_heads: 1 here, 2 there"),
        ({"tied_embeddings": False}, "tied_embeddings: False here, True there"),
        ({"rope_theta": 5.0}, "rope_theta: 5.0 here, 10000.0 there"),
    ],
)
def test_another_shape_is_refused_with_both_sides(folder, changes, words):
    """What decides numbers must agree; the answer names both sides and the overrides that would fit."""
    with pytest.raises(InputError) as caught:
        _built(weights=str(folder), **changes)

    (name,) = changes
    assert caught.value.code == "MOD-014"
    assert caught.value.why == words
    assert f"model.{name}=" in caught.value.fix


def test_learned_positions_belong_to_the_shape(tmp_path):
    """A table of places cannot be taken over into one of another length."""
    learned = attrs.evolve(TINY, positions="learned", context_length=8)
    model = Decoder.build(learned, vocab_size=VOCAB_SIZE, seed=1)
    for name, write in model.payload(model.trainable()).items():
        write(tmp_path / name)

    with pytest.raises(InputError, match="another shape") as caught:
        _built(weights=str(tmp_path), positions="learned", context_length=16)
    assert caught.value.why == "context_length: 16 here, 8 there"


def test_vocabulary_may_be_larger_than_the_tokenizers_but_not_smaller(folder):
    """Ids that the tokenizer never gives are harmless; ids that the model does not know are refused."""
    options = attrs.evolve(TINY, weights=str(folder))

    assert Decoder.build(options, vocab_size=VOCAB_SIZE - 3, seed=1).vocab_size == VOCAB_SIZE
    with pytest.raises(ConfigError, match=f"{VOCAB_SIZE + 1} ids .* {VOCAB_SIZE}"):
        Decoder.build(options, vocab_size=VOCAB_SIZE + 1, seed=1)


def test_folder_without_a_model_is_refused(tmp_path):
    """A folder that does not exist or holds something else is named, with what was looked for."""
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="no") as caught:
            _built(weights=str(place))
        assert caught.value.code == "MOD-014" and "config.json" in caught.value.why


def test_written_description_says_nothing_of_where_weights_came_from(folder, tmp_path):
    """A model that has its own parameters names no other folder."""
    model = _built(weights=str(folder))
    written = tmp_path / "other.json"
    model.payload(model.trainable())["model.json"](written)

    assert str(folder) not in written.read_text()
    assert Decoder.from_folder(folder).options == TINY
