"""A model of transformers from a local directory: local files, safetensors, no code of the directory.

Decisions: what is missing, left over or misshapen is refused, never filled in with chance; dropout is set to zero,
since transformers draws it from a generator that belongs to the whole process; progress bars and advice of
transformers stay silent.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from codex_core.errors import InputError
from codex_models import hf_directory


def load(folder: Path, *, dtype: torch.dtype | None) -> Any:
    """The model of a directory, in evaluation mode; `dtype` None keeps the type that its files have.

    Raises `InputError` for files that are missing or refused and for tensors that do not fit.
    """
    hf_directory.require(folder)
    transformers: Any = import_module(
        "transformers"
    )  # takes seconds, which checking a directory need not wait for
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    only_local = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **only_local)
        _without_dropout(config)
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            dtype=dtype or "auto",
            output_loading_info=True,
            **only_local,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise InputError(
            code="MOD-008",
            what="transformers cannot open this directory",
            where=str(folder),
            why=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}",
            fix=f"codex model check {folder}",
        ) from error
    _require_all(info, folder)
    _silence_dropout(model)
    return model.eval()


def stored_dtype(model: nn.Module) -> torch.dtype:
    """The type of a model's parameters."""
    return next(model.parameters()).dtype


def _without_dropout(config: Any) -> None:
    for part in {id(one): one for one in (config, config.get_text_config())}.values():
        for name, value in list(vars(part).items()):
            if isinstance(value, float) and ("dropout" in name or name.endswith("pdrop")):
                setattr(part, name, 0.0)


def _silence_dropout(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def _require_all(info: Any, folder: Path) -> None:
    """Refuse what transformers would only warn of."""
    problems = [f"missing {name}" for name in sorted(map(str, info["missing_keys"]))]
    problems += [f"unexpected {name}" for name in sorted(map(str, info["unexpected_keys"]))]
    for name, *shapes in sorted(map(tuple, info["mismatched_keys"])):
        sides = [str(tuple(shape)) for shape in shapes]
        problems.append(f"{name} is {' in the file and '.join(sides)} by config.json")
    if problems:
        raise InputError(
            code="MOD-009",
            what=f"{len(problems)} tensors do not fit the model of config.json",
            where=str(folder),
            why="; ".join(problems[:8]),
            fix=f"codex model check {folder}, and copy the directory again from where it came",
        )
