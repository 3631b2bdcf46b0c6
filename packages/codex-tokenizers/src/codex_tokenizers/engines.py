"""What encodes for byte-level BPE: the reference (Hugging Face `tokenizers`), or tiktoken over the same merges.

Decisions: tiktoken is taken where it is installed and gives, id by id, what the reference gives on a sample that
holds every kind of text and the vocabulary itself; where it does not, the reference encodes and a warning says so.
Ids never depend on the choice, so it is no part of a fingerprint. A long text is cut where a line that begins at
the margin follows a line end: no pattern of ours matches across that place; a stretch without such a place, longer
than tiktoken's pattern engine can hold on its stack, goes to the reference.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from codex_core.errors import MissingDependency, UsageError
from codex_tokenizers.artefact import Vocabulary
from codex_tokenizers.byte_alphabet import token_bytes
from codex_tokenizers.forks import make_forks_safe
from codex_tokenizers.samples import BACKENDS, SAMPLE
from codex_tokenizers.splitting import PATTERN, SPACES, WORDS, cut

#: The same matches, grouped so that the engine of tiktoken takes its fast path for words: 22 MB/s instead of 17.
_GROUPED = f"(?:{WORDS})|(?:{SPACES})"

_PIECE_CHARACTERS = 1 << 16
_LONGEST_CHARACTERS = (
    200_000  # a run of 1,000,000 blanks overflows the stack of tiktoken 0.14, 200,000 do not
)

_SAMPLED_TOKENS = 8192


class Engine(Protocol):
    """Encodes texts that UTF-8 can hold; the spelling of a special token is plain text."""

    name: str

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, on all threads."""


class HFEngine:
    """The reference."""

    name = "hf"

    def __init__(self, library: Tokenizer) -> None:
        self.library = library

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        ids: list[int] = self.library.encode(text, add_special_tokens=False).ids
        return ids

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, on all threads of the library."""
        make_forks_safe()
        return [one.ids for one in self.library.encode_batch_fast(list(texts), add_special_tokens=False)]


class TiktokenEngine:
    """tiktoken over the vocabulary of the reference."""

    name = "tiktoken"

    def __init__(self, vocabulary: Vocabulary, specials: frozenset[str], reference: HFEngine) -> None:
        import tiktoken

        ranks = {token_bytes(token): id for token, id in vocabulary.ids.items() if token not in specials}
        self._library = tiktoken.Encoding("codex", pat_str=_GROUPED, mergeable_ranks=ranks, special_tokens={})
        self._reference = reference

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        if len(text) <= _LONGEST_CHARACTERS:
            return self._library.encode_ordinary(text)
        return [id for piece in cut(text, _PIECE_CHARACTERS) for id in self._piece(piece)]

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, on this thread: tiktoken's threads gain little and cost memory."""
        return [self.encode(text) for text in texts]

    def _piece(self, piece: str) -> list[int]:
        if len(piece) > _LONGEST_CHARACTERS:
            return self._reference.encode(piece)
        return self._library.encode_ordinary(piece)


def pipeline(model: models.BPE) -> Tokenizer:
    """The library's object around a model: our pattern, bytes, no normaliser, no prefix space."""
    library = Tokenizer(model)
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    library.decoder = decoders.ByteLevel()
    return library


def assemble(vocabulary: Vocabulary, specials: Sequence[str]) -> Tokenizer:
    """The library's object for a vocabulary; `encode_special_tokens` is its name for: special tokens are text."""
    library = pipeline(models.BPE(vocab=dict(vocabulary.ids), merges=list(vocabulary.merges)))
    library.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    library.encode_special_tokens = True
    return library


def choose(vocabulary: Vocabulary, specials: Sequence[str], reference: HFEngine, *, backend: str) -> Engine:
    """The engine that a backend's name asks for; `auto` is tiktoken where it is there and agrees.

    Raises `MissingDependency` when tiktoken is asked for by name and not installed, `UsageError` for a name that
    does not exist, or when tiktoken is asked for by name and gives other ids.
    """
    if backend not in BACKENDS:
        raise UsageError(
            code="TOK-008",
            what=f"there is no backend {backend!r}",
            why=f"known: {', '.join(BACKENDS)}",
            fix="leave the backend out",
        )
    if backend == "hf":
        return reference
    try:
        engine = TiktokenEngine(vocabulary, frozenset(specials), reference)
    except ModuleNotFoundError as error:
        if backend == "auto":
            return reference
        raise MissingDependency(
            code="TOK-009",
            what="the backend tiktoken is not installed",
            why=str(error),
            fix="pip install 'codex-tokenizers[tiktoken]'",
        ) from error
    differing = _first_difference(engine, reference, vocabulary)
    if differing is None:
        return engine
    said = f"tiktoken gives other ids than the reference for {differing!r:.80}"
    if backend == "auto":
        warnings.warn(f"{said}; the reference encodes", RuntimeWarning, stacklevel=2)
        return reference
    raise UsageError(code="TOK-010", what=said, fix="use the backend hf")


def _first_difference(engine: Engine, reference: Engine, vocabulary: Vocabulary) -> Any:
    """The first text of the sample on which two engines differ, None when they agree."""
    step = max(1, len(vocabulary.ids) // _SAMPLED_TOKENS)
    library_texts = [
        token_bytes(token).decode("utf-8", errors="ignore")
        for token in list(vocabulary.ids)[::step]
        if not token.startswith("<|")
    ]
    own = ["".join(library_texts[start : start + 256]) for start in range(0, len(library_texts), 256)]
    return next((text for text in (*SAMPLE, *own) if engine.encode(text) != reference.encode(text)), None)
