"""LoRA fine-tuning in tokens per second and in memory, against peft on `transformers` with the same weights.

    python bench/lora.py --rounds 5 --output bench/results/lora.md

Size S (width 256, 6 blocks, 4 heads, feed-forward 768, 8,192 ids), rows of 512 tokens, 8 rows a step, rank 8, alpha
16, all seven projections, AdamW without clipping. Ours is the trainer itself: data, digests of steps, events and
checkpoint hooks are on. The peer is the bare loop of peft, in autocast over float32 weights (its best configuration)
and over bfloat16 weights. A sample is a process that takes three steps to warm up and then `--steps` more; memory is
the peak of these, over what the process held after its imports. Before, five steps of both sides in float32 from one
adapter must have equal losses.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alternating import Case, measure, report, summarise

SHAPES = {"S": {"vocab": 8192, "rows": 8, "seq_len": 512}, "tiny": {"vocab": 512, "rows": 4, "seq_len": 64}}
RANK, ALPHA, LR, WARM_UP = 8, 16, 1e-4, 3
PEERS = ("peft autocast", "peft bfloat16")
BAR_SPEED, BAR_MEMORY, BAR_LOSS = 2.0, 0.6, 1e-4


class Rows:
    """Packed rows of one document of random ids each: a pure function of the position."""

    def __init__(self, shape: Mapping[str, int]) -> None:
        self.shape = shape

    def rows(self, start: int, count: int) -> Any:
        """The rows at these positions."""
        import numpy as np

        from codex_core.contracts import RowBatch

        length = self.shape["seq_len"]
        made = [
            np.random.default_rng(position).integers(0, self.shape["vocab"], length + 1)
            for position in range(start, start + count)
        ]
        ids = np.stack(made)
        return RowBatch(
            inputs=ids[:, :-1],
            targets=ids[:, 1:],
            loss_mask=np.ones((count, length), dtype=bool),
            positions=np.tile(np.arange(length), (count, 1)),
            document_ids=np.zeros((count, length), dtype=np.int64),
        )

    def num_supervised(self, start: int, count: int) -> int:
        """Every target counts."""
        return count * self.shape["seq_len"]


class NoCheckpoints:
    """Nothing to resume, nothing due."""

    asynchronous = False

    def resume(self) -> None:
        """A new run."""

    def is_due(self, step: int) -> bool:
        """Never."""
        return False

    def finish(self) -> None:
        """Nothing is in flight."""


def _base(size: str) -> Any:
    from codex_models.decoder import Decoder
    from codex_models.options import DecoderOptions

    options = DecoderOptions(size="S" if size == "S" else "nano", scale_embeddings=False)
    model = Decoder.build(options, vocab_size=SHAPES[size]["vocab"], seed=1)
    model.context_length = SHAPES[size]["seq_len"]
    return model


def _options(base: Any, folder: Path) -> Any:
    import attrs

    from codex_models.lora_options import LoraOptions

    for name, write in base.payload(base.trainable()).items():
        write(folder / name)
    return attrs.evolve(base.options, weights=str(folder), lora=LoraOptions(r=RANK, alpha=ALPHA))


def ours(
    size: str, folder: Path, *, steps: int, precision: str, on_step: Callable[[int, float], None]
) -> None:
    """Train with the trainer; `on_step` gets the number of each step and its loss."""
    import torch

    from codex_core.contracts import Loaded
    from codex_core.duration import Duration
    from codex_core.lock import Lock
    from codex_models.decoder_model import DecoderModel
    from codex_models.trainer import TorchTrainer
    from codex_models.trainer_options import TorchTrainerOptions

    shape = SHAPES[size]
    model = _options(_base(size), folder)
    options = TorchTrainerOptions(
        duration=Duration(steps), batch_rows=shape["rows"], lr=LR, schedule="constant", weight_decay=0.0,
        beta2=0.999, clip=None, precision=precision,
    )  # fmt: skip
    lock = Lock(
        name="bench", config_hash="sha256:0", seed=0, exactness="L1", threads=torch.get_num_threads(),
        components={}, seeds={"model.init": 3, "dropout": 4}, steps=steps, batch_rows=shape["rows"],
        seq_len=shape["seq_len"], vocab_size=shape["vocab"], log_every=1, evaluate_every=0, save_every=0,
        durations={"trainer.warmup": 0, "run.digest_every": 1}, epochs=1.0, tokens=0, data={}, environment={},
    )  # fmt: skip

    def emit(event: Any) -> None:
        if event.kind == "step":
            on_step(event.step, event.metrics["loss"])

    TorchTrainer(options).fit(
        lock,
        Rows(shape),
        load=lambda section: Loaded(id="codex-models/decoder", target=DecoderModel, options=model),
        emit=emit,
        checkpoints=NoCheckpoints(),
        evaluate=lambda live, step: {},
        should_stop=lambda: False,
    )


def peer(
    size: str, kind: str, *, steps: int, on_step: Callable[[int, float], None], adapter: Path | None = None
) -> None:
    """Train with peft; `adapter` is where to begin, else where peft begins."""
    import peft
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from codex_models.hf_layouts import LAYOUTS
    from codex_models.hf_tensors import to_directory
    from codex_models.state import named_tensors

    shape, base = SHAPES[size], _base(size)
    options = base.options
    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=options.width, num_hidden_layers=options.layers, num_attention_heads=options.heads,
            num_key_value_heads=options.heads, intermediate_size=options.inner_width, vocab_size=shape["vocab"],
            max_position_embeddings=shape["seq_len"], rms_norm_eps=options.norm_eps,
            tie_word_embeddings=options.tied_embeddings, rope_theta=options.rope_theta,
        )
    )  # fmt: skip
    tensors = to_directory(named_tensors(base), options, LAYOUTS["llama"], dtype=torch.float32)
    model.load_state_dict(tensors, strict=not options.tied_embeddings)
    del base, tensors
    if kind == "peft bfloat16":
        model = model.bfloat16()
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets)
    wrapped: Any = (
        peft.PeftModel.from_pretrained(model, adapter, is_trainable=True)
        if adapter
        else peft.get_peft_model(model, config)
    )
    wrapped.train()
    trained = [parameter for parameter in wrapped.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LR, weight_decay=0.0, fused=True)
    rows = Rows(shape)
    for step in range(1, steps + 1):
        batch = rows.rows((step - 1) * shape["rows"], shape["rows"])
        inputs, targets_RL = (torch.from_numpy(ids.copy()) for ids in (batch.inputs, batch.targets))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "peft autocast"):
            loss = wrapped(input_ids=inputs, labels=inputs, shift_labels=targets_RL).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        on_step(step, float(loss))


def _sample(kind: str, size: str, steps: int) -> dict[str, float]:
    """Rate and peak memory of a process."""
    import codex_models.trainer  # noqa: F401 - what is imported is not what training takes

    if kind != "ours":
        import peft  # noqa: F401
        import transformers.models.llama.modeling_llama  # noqa: F401
    before, at = _resident_mb("VmRSS"), []

    def on_step(step: int, loss: float) -> None:
        at.append(time.perf_counter())
        if step == WARM_UP:
            Path("/proc/self/clear_refs").write_text("5")

    if kind == "ours":
        with tempfile.TemporaryDirectory() as folder:
            ours(size, Path(folder), steps=WARM_UP + steps, precision="bf16", on_step=on_step)
    else:
        peer(size, kind, steps=WARM_UP + steps, on_step=on_step)
    tokens = SHAPES[size]["rows"] * SHAPES[size]["seq_len"] * steps
    rate = tokens / (at[-1] - at[WARM_UP - 1])
    return {"tokens_per_s": rate, "peak_mb": _resident_mb("VmHWM") - before}


def _resident_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def _same_losses(size: str) -> float:
    """The largest difference of five losses in float32, both sides beginning with one adapter."""
    from codex_models.decoder_model import DecoderModel

    losses: dict[str, list[float]] = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory() as name:
        folder, adapter = Path(name), Path(name) / "adapter"
        adapter.mkdir()
        ours(size, folder, steps=5, precision="fp32", on_step=lambda _, loss: losses["ours"].append(loss))
        model = DecoderModel.build(
            _options(_base(size), folder), vocab_size=SHAPES[size]["vocab"], seed=3
        )  # as the trainer begins
        for file, write in model.payload(model.trainable()).items():
            write(adapter / file)
        peer(size, "fp32", steps=5, adapter=adapter, on_step=lambda _, loss: losses["peer"].append(loss))
    return max(abs(one - other) for one, other in zip(losses["ours"], losses["peer"], strict=True))


def main() -> int:
    """Measure, print the table, and tell by the exit code whether the bars hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--size", choices=SHAPES, default="S")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child")
    asked = parser.parse_args()
    if asked.child == "compare":
        print(json.dumps({"difference": _same_losses(asked.size)}))
        return 0
    if asked.child:
        print(json.dumps(_sample(asked.child, asked.size, asked.steps)))
        return 0
    here = [sys.executable, __file__, "--size", asked.size, "--steps", str(asked.steps), "--child"]
    compared = subprocess.run([*here, "compare"], capture_output=True, text=True, check=True)
    difference = json.loads(compared.stdout.strip().splitlines()[-1])["difference"]
    found = measure([Case(kind, [*here, kind]) for kind in (*PEERS, "ours")], rounds=asked.rounds)
    rates = {kind: summarise(found[kind], "tokens_per_s") for kind in found}
    peaks = {kind: summarise(found[kind], "peak_mb", higher_is_better=False) for kind in found}
    best = max(PEERS, key=lambda kind: rates[kind].median)
    speed, memory = rates["ours"].median / rates[best].median, peaks["ours"].median / peaks[best].median
    lines = ["| case | tokens/s | peak, MB over start |", "|---|---|---|"]
    lines += [f"| {kind} | {rates[kind]} | {peaks[kind]} |" for kind in found]
    lines += ["", f"Ours over {best}: {speed:.2f} x the speed (bar {BAR_SPEED}), ", ""]
    lines[-2] += f"{memory:.2f} x the memory (bar {BAR_MEMORY})."
    lines.append(f"Five losses in float32 differ by at most {difference:.1e} (bar {BAR_LOSS:.0e}).")
    argv = ["bench/lora.py", f"--rounds {asked.rounds} --steps {asked.steps} --size {asked.size}"]
    text = report("LoRA", argv=argv, lines=lines, facts={"model": f"size {asked.size}, rank {RANK}"})
    print(text)
    if asked.output:
        asked.output.write_text(text)
    return 0 if speed >= BAR_SPEED and memory <= BAR_MEMORY and difference <= BAR_LOSS else 1


if __name__ == "__main__":
    sys.exit(main())
