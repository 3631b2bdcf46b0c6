"""What the trainer knows of a torch model, and that files of earlier versions still make one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from codex_core.contracts import LanguageModel
from codex_models.decoder import Decoder
from codex_models.modules import TrainableModule
from codex_models.state import model_fingerprint
from tests.support.decoders import TINY, VOCAB_SIZE, decoder

GOLDEN = sorted(
    path for path in (Path(__file__).parents[2] / "golden" / "decoder").iterdir() if path.is_dir()
)


def test_decoder_is_a_trainable_module():
    """The decoder offers all that trainer and checkpoints ask of a model."""
    model = decoder()

    assert isinstance(model, TrainableModule)
    assert isinstance(model.language_model(), LanguageModel)
    assert model.trainable().keys() == dict(model.named_parameters()).keys()


def test_payload_and_restore_are_inverse(tmp_path):
    """What one model writes, another of the same shape reads back bit by bit, also from copies made earlier."""
    model, other = decoder(seed=1), Decoder.build(TINY, vocab_size=VOCAB_SIZE, seed=2)
    copies = {name: value.detach().clone() for name, value in model.trainable().items()}
    before = model_fingerprint(model)
    with torch.no_grad():
        model.head.weight.zero_()

    for name, write in model.payload(copies).items():
        write(tmp_path / name)
    other.restore(tmp_path)

    assert model_fingerprint(other) == before != model_fingerprint(model)
    assert Decoder.open(tmp_path).fingerprint() == before


def test_live_view_follows_the_parameters():
    """A language model of a module in training scores with the parameters as they are now."""
    model = decoder()
    live = model.language_model()
    before = live.loglikelihood([[1, 2, 3]])
    with torch.no_grad():
        model.norm_gain.mul_(2.0)

    assert live.loglikelihood([[1, 2, 3]]) != before


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda path: path.name)
def test_model_folder_of_every_version_still_scores(folder):
    """A decoder that an earlier version wrote opens, although its description lacks later options."""
    held = json.loads((folder / "scores.json").read_text())

    (values,) = Decoder.open(folder).loglikelihood([held["row"]])

    # fp32 sums in the order of another machine: 5 digits were written, 1e-4 is allowed
    assert values == pytest.approx(held["loglikelihood"], abs=1e-4)
