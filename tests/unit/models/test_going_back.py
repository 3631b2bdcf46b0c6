"""The torch trainer's policy `rollback`: a document whose loss is no number is left out, and training ends well."""

from __future__ import annotations

import json
import math

import attrs
import pytest
import torch

from codex_core import execute
from codex_core import journal as journals
from codex_models import gradients
from codex_models.decoder import Decoder
from codex_models.options import DecoderOptions
from codex_models.trainer import TorchTrainer
from codex_models.trainer_options import TorchTrainerOptions
from tests.support.small_runs import the_run
from tests.unit.core.test_going_back import POISON, CorpusWork, names

PLANTED = 4


@pytest.fixture
def poisoned_loss(monkeypatch):
    """A loss that is no number wherever the poisoned token is to be learned."""
    clean = gradients.supervised_cross_entropy

    def loss(hidden, weight, targets, loss_mask, **others):
        value = clean(hidden, weight, targets, loss_mask, **others)
        return value * math.nan if bool((targets[loss_mask] == POISON).any()) else value

    monkeypatch.setattr(gradients, "supervised_cross_entropy", loss)


def torch_work(folder):
    """A small work whose model is a decoder and whose trainer is ours."""
    work = CorpusWork(folder)
    work.poisoned = (PLANTED,)
    work.registry.targets |= {"small/model": Decoder, "small/trainer": TorchTrainer}
    work.registry.options |= {"small/model": DecoderOptions, "small/trainer": TorchTrainerOptions}
    plan = work.plan(
        steps=12, micro_batch_rows=1, warmup="0 steps", on_nonfinite="rollback", precision="fp32"
    )
    trainer, model = plan.choices["trainer"], plan.choices["model"]
    options = {name: value for name, value in trainer.options.items() if name not in ("weight", "patience")}
    choices = {
        **plan.choices,
        "trainer": attrs.evolve(trainer, options=options),
        "model": attrs.evolve(model, options={"layers": 1, "width": 16, "heads": 2}),
    }
    seeds = {**plan.seeds, "dropout": 1}
    return work, attrs.evolve(plan, choices=choices, seeds=seeds)


def settle_with_phases(plan, prepared, *, registry, environment):
    """The lock of a small plan, with the durations that the torch trainer reads."""
    from tests.support.small_training import settle_small

    lock = settle_small(plan, prepared, registry=registry, environment=environment)
    return attrs.evolve(lock, evaluate_every=0, durations={"trainer.warmup": 0, "run.digest_every": 1})


def test_planted_document_is_left_out_and_training_ends_well(tmp_path, poisoned_loss):
    """The withheld update, the attempt that was rolled back, the new one and its loss: all of it is in the journal."""
    work, plan = torch_work(tmp_path)

    result = execute.run(plan, around=work.around(settle=settle_with_phases), prepare=work.prepare)

    run = the_run(work)
    records = journals.read(run.journal).records
    assert (result.status, result.exit_code, result.steps) == ("finished", 0, 12)
    ended = [record.fields["status"] for record in records if record.kind == "run_finished"]
    assert ended == ["rolled back", "finished"]
    without = run.lock().data["without"]
    assert names()[PLANTED] in without and len(without) < len(names())
    losses = [json.loads(line)["loss"] for line in (run.path / "metrics.ndjson").read_text().splitlines()]
    assert len(losses) == 12 and all(map(math.isfinite, losses))
    digests = [record for record in records if record.kind == "step_digest" and record.attempt == 2]
    assert [record.fields["step"] for record in digests][-1] == 12
    assert torch.isfinite(torch.tensor([float.fromhex(record.fields["loss"]) for record in digests])).all()
