"""Digests of tensors: of their bytes, in place, whatever their type, shape and layout."""

from __future__ import annotations

import pytest
import torch

from codex_models.digests import digest_of_step

TYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64]


def parameters_of(**tensors):
    return digest_of_step(1, loss=1.0, grad_norm=1.0, tensors=tensors)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_bit_of_every_type_counts(dtype):
    """One flipped bit of one element changes the digest of its tensor and no other."""
    tensor = torch.arange(24).reshape(4, 6).to(dtype)
    other = tensor.clone()
    other.view(torch.uint8).reshape(-1)[7] ^= 1

    before, after = parameters_of(a=tensor, b=tensor), parameters_of(a=tensor, b=other)

    assert before.parameters != after.parameters
    assert before.tensors["a"] == after.tensors["a"] and before.tensors["b"] != after.tensors["b"]


def test_name_type_and_shape_count():
    """The same bytes under another name, type or shape are another tensor."""
    tensor = torch.zeros(4, 6)
    digests = {
        parameters_of(a=tensor).parameters,
        parameters_of(b=tensor).parameters,
        parameters_of(a=tensor.reshape(6, 4)).parameters,
        parameters_of(a=tensor.view(torch.int32)).parameters,
    }

    assert len(digests) == 4


def test_layout_does_not_count():
    """A transposed view has the digest of its values, a scalar and an empty tensor have one, too."""
    tensor = torch.arange(12.0).reshape(3, 4)

    assert parameters_of(a=tensor.T) == parameters_of(a=tensor.T.contiguous())
    assert parameters_of(a=torch.tensor(1.5)) != parameters_of(a=torch.tensor(2.5))
    assert parameters_of(a=torch.zeros(0, 3)) == parameters_of(a=torch.zeros(0, 3))


def test_parameters_that_require_gradients_are_digested_as_they_are():
    """A leaf of the graph needs no detaching by the caller, and is not changed."""
    parameter = torch.nn.Parameter(torch.ones(3))

    event = parameters_of(a=parameter)

    assert event.tensors.keys() == {"a"} and parameter.grad is None
    assert event == parameters_of(a=torch.ones(3))
