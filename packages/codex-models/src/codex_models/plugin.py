"""What this distribution offers; describing it loads no torch."""

from codex_core import Component, hookimpl

CODEX_API = (1, 0)
CODEX_EXAMPLES = "codex_models.examples:examples"


@hookimpl
def codex_models() -> list[Component]:
    """The decoder, and models of transformers."""
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
        ),
        Component(
            "hf-causal",
            target="codex_models.hf_model:HfModel",
            options="codex_models.hf_options:HfCausalOptions",
            summary="A causal language model of a local Hugging Face directory, computed by transformers",
            requires=("torch", "transformers"),
            capabilities=("loglikelihood", "generate", "adapter"),
            runtime="torch",
        ),
    ]


@hookimpl
def codex_commands() -> list[Component]:
    """The commands under `codex model`."""
    return [
        Component(
            "model",
            target="codex_models.cli_model:model",
            summary="Check, make, import, export, merge and list models",
            requires=("click", "torch"),
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
