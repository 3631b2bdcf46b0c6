"""What this distribution offers; describing it loads no torch."""

from codex_core import Component, hookimpl

CODEX_API = (1, 0)
CODEX_EXAMPLES = "codex_models.examples:examples"


@hookimpl
def codex_models() -> list[Component]:
    """The decoder."""
    return [
        Component(
            "decoder",
            target="codex_models.decoder_model:DecoderModel",
            options="codex_models.options:DecoderOptions",
            summary="Decoder-only Transformer in the layouts of Llama, Qwen and GPT-2; document masks, KV cache, LoRA",
            requires=("torch",),
            capabilities=("loglikelihood", "generate", "adapter"),
            runtime="torch",
            estimate="codex_models.estimate:decoder_memory",
        )
    ]


@hookimpl
def codex_trainers() -> list[Component]:
    """The torch trainer."""
    return [
        Component(
            "torch",
            target="codex_models.trainer:TorchTrainer",
            options="codex_models.trainer_options:TorchTrainerOptions",
            summary="AdamW or Muon, fp32, bf16 or fp16, accumulation, schedules, averages, bit-exact resume",
            requires=("torch",),
            capabilities=("finetune", "lora"),
            runtime="torch",
        )
    ]
