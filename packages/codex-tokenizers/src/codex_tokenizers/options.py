"""Options of the tokenizers, and of the recipes by which `codex tokenizer train` learns them."""

from __future__ import annotations

from typing import Any

import attrs

from codex_core.options import option

#: What a vocabulary holds before anything is learned: 256 bytes and three special tokens.
SMALLEST_VOCABULARY = 259

#: Noted with every recipe that names no other.
SEED = 20_260_101

_LEARNED = ("path", (None,))


def _template() -> str | None:
    value: str | None = option(
        None,
        doc="chat template: `plain`, `chatml`, `own` (the one that an artefact brings) or a Jinja file; "
        "not given, that of `path`, else plain",
        unit="path or name",
    )
    return value


def _special_tokens() -> tuple[str, ...]:
    value: tuple[str, ...] = option(
        (),
        doc="further special tokens to reserve ids for, such as the markers of a chat template",
        only_with=_LEARNED,
    )
    return value


def _path() -> str | None:
    value: str | None = option(
        None,
        doc="folder of a saved tokenizer to use as it is, instead of learning one from the text",
        unit="path",
    )
    return value


@attrs.frozen(kw_only=True)
class BPEOptions:
    """Options of the tokenizer `bpe`."""

    vocab_size: int = option(
        4096,
        doc="ids to learn, the 256 bytes and three special tokens included; little text may give fewer",
        unit="tokens",
        minimum=SMALLEST_VOCABULARY,
        maximum=4_000_000,
        only_with=_LEARNED,
    )
    min_frequency: int = option(
        2, doc="how often a pair must occur to become a token", minimum=1, only_with=_LEARNED
    )
    special_tokens: tuple[str, ...] = _special_tokens()
    template: str | None = _template()
    path: str | None = _path()


@attrs.frozen(kw_only=True)
class SentencePieceOptions:
    """Options of the tokenizer `sentencepiece`."""

    vocab_size: int = option(
        4096,
        doc="ids to learn, special tokens and 256 byte pieces included; little text may give fewer",
        unit="tokens",
        minimum=SMALLEST_VOCABULARY + 2,
        maximum=1_000_000,
        only_with=_LEARNED,
    )
    model: str = option(
        "unigram", doc="how pieces are learned", choices=("unigram", "bpe"), only_with=_LEARNED
    )
    coverage: float = option(
        0.9995,
        doc="share of the text's characters that get pieces of their own; the rest is spelt in bytes",
        minimum=0.9,
        maximum=1.0,
        only_with=_LEARNED,
    )
    normaliser: str = option(
        "identity",
        doc="`identity` keeps every text as it is; `nfkc` folds look-alikes, and decoding does not bring them back",
        choices=("identity", "nfkc"),
        only_with=_LEARNED,
    )
    byte_fallback: bool = option(
        True,
        doc="spell characters without a piece in bytes; without it they are unknown, and lost",
        only_with=_LEARNED,
    )
    special_tokens: tuple[str, ...] = _special_tokens()
    template: str | None = _template()
    path: str | None = _path()


@attrs.frozen(kw_only=True)
class WhitespaceOptions:
    """Options of the tokenizer `whitespace`."""

    vocab_size: int = option(
        32_000,
        doc="ids at most: four special tokens and the most frequent words",
        unit="tokens",
        minimum=5,
        maximum=4_000_000,
        only_with=_LEARNED,
    )
    min_frequency: int = option(
        1, doc="how often a word must occur to get an id", minimum=1, only_with=_LEARNED
    )
    special_tokens: tuple[str, ...] = _special_tokens()
    template: str | None = _template()
    path: str | None = _path()


@attrs.frozen(kw_only=True)
class HFOptions:
    """Options of the tokenizer `hf`."""

    path: str = option(
        doc="a folder with `tokenizer.json`, such as that of a model, or such a file", unit="path"
    )
    template: str | None = option(
        None,
        doc="chat template: `plain`, `chatml`, `own` (the one beside the tokenizer) or a Jinja file; "
        "not given, that of an artefact saved by Codex, else plain",
        unit="path or name",
    )
    bos: str | None = option(
        None, doc="the token that begins a text, where the folder names none; default: EOS"
    )
    eos: str | None = option(None, doc="the token that ends a text, where the folder names none")
    pad: str | None = option(None, doc="the token that fills rows, where the folder names none; default: EOS")


@attrs.frozen(kw_only=True)
class RecipeOptions:
    """What stands in a recipe."""

    tokenizer: Any = option(doc="the kind of tokenizer as `name`, its options beside it")
    corpus: tuple[str, ...] = option(doc="text and JSON Lines files, or patterns such as `texts/**/*.txt`")
    out: str = option(doc="the folder to write the tokenizer to; it must not exist yet")
    field: str = option("text", doc="the field of JSON Lines files (*.jsonl) that holds the text")
    seed: int = option(SEED, doc="for kinds that learn by chance; ours do not", minimum=0)
