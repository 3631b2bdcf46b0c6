"""The decoder computes what transformers computes, with weights taken from its directories and given back."""

from __future__ import annotations

import pytest
import torch

transformers = pytest.importorskip("transformers")

from codex_models.decoder import Decoder  # noqa: E402 - after the skip
from tests.support.decoders import one_document  # noqa: E402
from tests.support.hf_directories import CONFIGS, VOCAB_SIZE, causal_model, directory  # noqa: E402

pytestmark = pytest.mark.slow

#: fp32, 2 layers, logits of size 10: observed 1e-5 at most, relative to the largest logit 2e-6.
RELATIVE_ERROR = 1e-5


@pytest.fixture(params=CONFIGS)
def name(request):
    return request.param


def _ids(rows: int = 3, length: int = 20) -> torch.Tensor:
    return torch.randint(0, VOCAB_SIZE, (rows, length), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def relative_error(decoder: Decoder, model) -> float:
    """Largest difference of logits over the largest logit."""
    ids = _ids()
    theirs = model(input_ids=ids).logits
    ours = decoder.head(decoder.hidden(*one_document(ids)))
    return float((ours - theirs).abs().max() / theirs.abs().max())


def test_logits_equal_those_of_transformers(name, tmp_path, record_property):
    """A directory read by the decoder gives the logits that transformers gives, in fp32."""
    decoder = Decoder.from_folder(directory(tmp_path, name))

    error = relative_error(decoder, causal_model(name))

    record_property("relative_error", error)
    print(f"{name}: largest difference of logits over the largest logit {error:.1e}")
    assert error <= RELATIVE_ERROR
