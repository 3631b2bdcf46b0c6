"""Generation in tokens per second, against `transformers` with the same weights.

    python bench/generate.py --rounds 5 --output bench/results/generate.md

Size S (width 256, 6 blocks, 4 heads, feed-forward 768, 8,192 ids), bfloat16, a prompt of 64 tokens and 128 new ones,
greedy, with a cache. A sample is a process that builds the model, generates once to warm up, then three times, and
prints the best rate; `ceiling` is what reading all weights once per token would allow at the rate of a matrix-vector
product. In float32 both sides must give the same ids.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from alternating import Case, measure, report, summarise

PROMPT, NEW, VOCAB = 64, 128, 8192
BARS = {1: 3.5, 8: 5.0}


def _decoder() -> Any:
    from codex_models.decoder import Decoder
    from codex_models.options import DecoderOptions

    options = DecoderOptions(
        layers=6, width=256, heads=4, ffn_width=768, tied_embeddings=False, scale_embeddings=False,
        context_length=512,
    )  # fmt: skip
    return Decoder.build(options, vocab_size=VOCAB, seed=1)


def _prompts(batch: int) -> list[list[int]]:
    import torch

    ids = torch.randint(3, VOCAB, (batch, PROMPT), generator=torch.Generator().manual_seed(7))
    return ids.tolist()


def _ours(dtype: str, batch: int) -> Any:
    import torch

    from codex_core.records import GenerationSettings
    from codex_models.decoding import Weights
    from codex_models.live import TorchLanguageModel

    model = _decoder()
    model.prepare_for_inference(getattr(torch, dtype))
    held = TorchLanguageModel(model, weights=lambda: Weights(model))
    settings, prompts = GenerationSettings(max_new_tokens=NEW, temperature=0.0), _prompts(batch)

    def run() -> list[list[int]]:
        found: list[list[int]] = [[] for _ in prompts]
        for chunk in held.generate(prompts, settings):
            found[chunk.index].extend(chunk.ids)
        return found

    return run


def _peer(dtype: str, batch: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=256, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=4,
        intermediate_size=768, vocab_size=VOCAB, max_position_embeddings=512, rms_norm_eps=1e-5,
        tie_word_embeddings=False, rope_theta=10000.0,
    )  # fmt: skip
    peer = LlamaForCausalLM(config)
    peer.load_state_dict(_as_llama(_decoder()), strict=True)
    peer = peer.to(getattr(torch, dtype)).eval()
    ids = torch.tensor(_prompts(batch))
    asked = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}

    @torch.no_grad()
    def run() -> list[list[int]]:
        out = peer.generate(ids, attention_mask=torch.ones_like(ids), eos_token_id=None, **asked)
        return out[:, PROMPT:].tolist()

    return run


def _as_llama(model: Any) -> dict[str, Any]:
    """The decoder's parameters by the peer's names."""
    found = {
        "model.embed_tokens.weight": model.embedding.weight,
        "model.norm.weight": model.norm_gain,
        "lm_head.weight": model.head.weight,
    }
    for index, block in enumerate(model.blocks):
        stem = f"model.layers.{index}."
        q, k, v = block.attention_in.weight.chunk(3)
        gate, up = block.ffn_in.weight.chunk(2)
        found |= {
            stem + "input_layernorm.weight": block.attention_in.gain,
            stem + "self_attn.q_proj.weight": q,
            stem + "self_attn.k_proj.weight": k,
            stem + "self_attn.v_proj.weight": v,
            stem + "self_attn.o_proj.weight": block.attention_out.weight,
            stem + "post_attention_layernorm.weight": block.ffn_in.gain,
            stem + "mlp.gate_proj.weight": gate,
            stem + "mlp.up_proj.weight": up,
            stem + "mlp.down_proj.weight": block.ffn_out.weight,
        }
    return found


def _ceiling(batch: int) -> float:
    """Tokens per second if each step only read the bfloat16 weights once, as a matrix-vector product does."""
    import torch

    entries = 6 * (4 * 256**2 + 3 * 256 * 768) + VOCAB * 256
    weight = torch.randn(entries // 1024, 1024).bfloat16()
    x = torch.randn(1024).bfloat16()
    best = min(_seconds(lambda: torch.mv(weight, x)) for _ in range(50))
    return batch / best


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _child(side: str, dtype: str, batch: int) -> None:
    run = (_ours if side == "ours" else _peer)(dtype, batch)
    run()
    best = min(_seconds(run) for _ in range(3))
    print(json.dumps({"tokens_per_s": batch * NEW / best, "ceiling": _ceiling(batch)}))


def _same_ids() -> str:
    """Greedy ids of both sides in float32, compared."""
    ours, peers = _ours("float32", 4)(), _peer("float32", 4)()
    same = sum(a == b for a, b in zip(ours, peers, strict=True))
    return f"{same} of {len(ours)} continuations of {NEW} tokens are equal in float32"


def main() -> int:
    """Measure, print the table, and tell by the exit code whether the bars hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", nargs=3, metavar=("SIDE", "DTYPE", "BATCH"))
    asked = parser.parse_args()
    if asked.child:
        side, dtype, batch = asked.child
        if side == "compare":
            print(json.dumps({"same": _same_ids()}))
        else:
            _child(side, dtype, int(batch))
        return 0
    here = [sys.executable, __file__, "--child"]
    cases = [
        Case(f"{side} B={batch}", [*here, side, "bfloat16", str(batch)])
        for batch in BARS
        for side in ("transformers", "ours")
    ]
    found = measure(cases, rounds=asked.rounds)
    compared = subprocess.run([*here, "compare", "float32", "4"], capture_output=True, text=True, check=True)
    lines = ["| batch | transformers, tok/s | ours, tok/s | ratio | bar | of the ceiling |"]
    lines += ["|---|---|---|---|---|---|"]
    holds = True
    for batch, bar in BARS.items():
        peer = summarise(found[f"transformers B={batch}"], "tokens_per_s")
        ours = summarise(found[f"ours B={batch}"], "tokens_per_s")
        ceiling = summarise(found[f"ours B={batch}"], "ceiling")
        ratio = ours.median / peer.median
        holds &= ratio >= bar
        lines.append(
            f"| {batch} | {peer} | {ours} | {ratio:.2f} | {bar} | {ours.median / ceiling.median:.2f} |"
        )
    facts = {
        "model": "size S, bfloat16, prompt 64, 128 new tokens, greedy",
        "ids": json.loads(compared.stdout.strip().splitlines()[-1])["same"],
    }
    text = report(
        "Generation", argv=["bench/generate.py", f"--rounds {asked.rounds}"], lines=lines, facts=facts
    )
    print(text)
    if asked.output:
        asked.output.write_text(text)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
