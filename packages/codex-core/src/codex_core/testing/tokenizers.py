"""What every tokenizer must do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from codex_core.contracts import Tokenizer, TokenizerClass
from codex_core.errors import ArtefactError
from codex_core.records import Record, Turn, plain_text
from codex_core.testing.claims import claim, refuses

TRAINING_TEXTS = (
    "The quick brown fox jumps over the lazy dog.\n",
    "def add(a: int, b: int) -> int:\n    return a + b\n",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "numbers 0 1 2 3 4 5 6 7 8 9, and\ttabs",
)

TRICKY_TEXTS = (
    "",
    " ",
    "\n\n\ttrailing space ",
    "a\u0301 combining, \u200d joiner, \U0001f469\u200d\U0001f680 emoji",
    "日本語 and العربية",
    "\x00\x07 control",
    "<s></s><pad><unk><bos><eos><|endoftext|>[CLS]",
    "0" * 300,
)


def check_tokenizer(
    cls: TokenizerClass,
    options: Any,
    *,
    folder: Path,
    training_texts: Sequence[str] = TRAINING_TEXTS,
    texts: Sequence[str] = TRICKY_TEXTS,
    capabilities: Collection[str] = (),
) -> None:
    """Train twice, use one, save it into the empty `folder`, load it, and compare.

    Of the declared `capabilities`, `lossless` promises that decoding gives the text back, and `offsets` that every
    character which is no white space belongs to some token.
    """
    tokenizer = cls.train(list(training_texts), options, seed=1)
    again = cls.train(iter(training_texts), options, seed=1)
    claim(isinstance(tokenizer, Tokenizer), "what train returns lacks a member of contracts.Tokenizer")
    claim(
        tokenizer.fingerprint() == again.fingerprint(),
        "training twice on the same texts gives two fingerprints",
    )
    claim(tokenizer.fingerprint().startswith("sha256:"), "a fingerprint reads sha256:<hex>")
    claim({"bos", "eos"} <= set(tokenizer.special_ids), "special_ids must name bos and eos")
    claim(
        "lossless" not in capabilities or tokenizer.lossless,
        "`lossless` is declared as a capability, and the tokenizer says that it is not",
    )
    every = [*training_texts, *texts]
    for text in every:
        _check_text(tokenizer, text)
        if "offsets" in capabilities:
            _check_cover(tokenizer, text)
    _check_batch(tokenizer, every)
    _check_artefact(cls, tokenizer, every, folder)


def _check_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    shown = repr(text[:40])
    claim(
        all(0 <= token < tokenizer.vocab_size for token in ids), f"{shown} gives ids outside the vocabulary"
    )
    special = set(tokenizer.special_ids.values()) - {tokenizer.special_ids.get("unk")}
    claim(not special & set(ids), f"{shown} gives special ids, though special text was not allowed")
    if tokenizer.lossless:
        claim(
            tokenizer.decode(ids) == text,
            f"decode(encode({shown})) differs, though the tokenizer is lossless",
        )
    with_offsets, offsets = tokenizer.encode_with_offsets(text)
    claim(list(with_offsets) == list(ids), f"encode_with_offsets gives other ids than encode for {shown}")
    claim(len(offsets) == len(ids), f"{shown} has another number of offsets than of ids")
    claim(
        all(0 <= start <= end <= len(text) for start, end in offsets),
        f"an offset of {shown} lies outside the text",
    )
    _check_rendering(tokenizer, text, ids)


def _check_cover(tokenizer: Tokenizer, text: str) -> None:
    covered = {place for start, end in tokenizer.encode_with_offsets(text)[1] for place in range(start, end)}
    missed = [
        place for place, character in enumerate(text) if not character.isspace() and place not in covered
    ]
    claim(
        not missed,
        f"`offsets` is declared as a capability, and character {missed[:1]} of {text[:40]!r} belongs to no token",
    )


def _check_rendering(tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> None:
    bos, eos = tokenizer.special_ids["bos"], tokenizer.special_ids["eos"]
    learned = tokenizer.render(plain_text(text, id="1", source=("file", 1)))
    claim(list(learned.ids) == [bos, *ids, eos], "a plain text renders as bos, its ids, eos")
    claim(learned.text == text, "the rendering of a plain text must hold that text")
    claim(
        learned.loss_mask == (False, *[True] * (len(ids) + 1)),
        "all but bos of a learned plain text is supervised",
    )
    turns = (Turn("text", text, learn=False),)
    unlearned = tokenizer.render(Record(id="1", turns=turns, source=("file", 1)))
    claim(not any(unlearned.loss_mask), "nothing of a turn that is not learned may be supervised")
    claim(tokenizer.decode(learned.ids) == tokenizer.decode(ids), "special ids must stand for no text")


def _check_batch(tokenizer: Tokenizer, texts: Sequence[str]) -> None:
    ids = [tokenizer.encode(text) for text in texts]
    longest = max(map(len, ids))
    batch = tokenizer.encode_batch(texts)
    cut = tokenizer.encode_batch(texts, max_length=3, pad_to=5)
    claim(
        all(len(row) == longest for row in batch.ids),
        "encode_batch pads to the longest text where nothing else is said",
    )
    claim(all(len(row) == 5 for row in cut.ids), "encode_batch must pad to pad_to")
    for wanted, row, mask in zip(ids, batch.ids, batch.attention_mask, strict=True):
        claim(list(row[: len(wanted)]) == list(wanted), "encode_batch gives other ids than encode")
        claim(
            mask == (1,) * len(wanted) + (0,) * (longest - len(wanted)),
            "attention_mask must be 1 on tokens, 0 on padding",
        )
    for wanted, row, mask in zip(ids, cut.ids, cut.attention_mask, strict=True):
        claim(list(row[: sum(mask)]) == list(wanted[:3]), "encode_batch must keep the first max_length ids")


def _check_artefact(cls: TokenizerClass, tokenizer: Tokenizer, texts: Sequence[str], folder: Path) -> None:
    refuses(lambda: cls.load(folder), ArtefactError, "loading an empty folder must raise ArtefactError")
    tokenizer.save(folder)
    loaded = cls.load(folder)
    claim(loaded.fingerprint() == tokenizer.fingerprint(), "a loaded tokenizer has another fingerprint")
    claim(
        [loaded.encode(text) for text in texts] == [tokenizer.encode(text) for text in texts],
        "a loaded tokenizer gives other ids",
    )
    claim(dict(loaded.special_ids) == dict(tokenizer.special_ids), "a loaded tokenizer has other special ids")
