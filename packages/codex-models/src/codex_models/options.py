"""Options of the decoder; importing this module loads no torch.

Decisions: what can be derived has `None` as default and a property that derives it; what a `size` stands for is
filled in when the options are made, so that plans, locks and checkpoints hold explicit numbers; a number that
contradicts the size is refused, naming both.
"""

from __future__ import annotations

import attrs

from codex_core.options import option
from codex_models.lora_names import target_names
from codex_models.lora_options import LoraOptions
from codex_models.sizes import SIZES, Size, Standard

#: Feed-forward widths are rounded up to a multiple of this, which GEMM kernels like.
_FFN_MULTIPLE = 64


@attrs.frozen(kw_only=True)
class DecoderOptions:
    """The shape of a decoder-only Transformer."""

    size: str | None = option(
        None,
        doc="a named shape: fills in layers, width, heads, ffn_width and tied_embeddings",
        choices=tuple(SIZES),
    )
    layers: int = option(Standard(6), doc="number of blocks", minimum=1)
    width: int = option(Standard(256), doc="width of the residual stream", minimum=2)
    heads: int = option(Standard(4), doc="attention heads; divides width into even parts", minimum=1)
    kv_heads: int | None = option(
        None,
        doc="heads of keys and values, each shared by several of queries; divides heads; heads by default",
        minimum=1,
    )
    width_per_head: int | None = option(
        None, doc="width of one attention head, an even number; width / heads by default", minimum=2
    )
    ffn_width: int | None = option(
        None,
        doc="width of the feed-forward layer; by default 8/3 of width, rounded up to 64, when it is gated, "
        "else 4 times width",
        minimum=1,
    )
    context_length: int | None = option(
        None,
        doc="longest row in tokens; the length of the training rows by default",
        unit="tokens",
        minimum=1,
    )
    positions: str = option(
        "rope",
        doc="how tokens know their places: rope turns queries and keys, learned adds a vector per place and "
        "needs context_length",
        choices=("rope", "learned"),
    )
    activation: str = option(
        "swiglu",
        doc="the feed-forward layer: swiglu is gated, gelu and gelu_tanh (its approximation) are not",
        choices=("swiglu", "gelu", "gelu_tanh"),
    )
    norm: str = option("rms", doc="what evens out activations", choices=("rms", "layer"))
    biases: str = option(
        "none",
        doc="which matrices inside blocks have a bias: none, those of queries, keys and values, or all",
        choices=("none", "qkv", "all"),
    )
    qk_norm: bool = option(False, doc="normalise queries and keys of each head")
    tied_embeddings: bool | None = option(
        None, doc="use the embedding matrix as output matrix, too; true by default, or as size says"
    )
    scale_embeddings: bool = option(
        True,
        doc="multiply embeddings by the square root of width, so that they enter blocks with a size near one",
    )
    dropout: float = option(
        0.0, doc="dropout on embeddings and on what blocks add, in 256ths", minimum=0.0, maximum=0.9
    )
    rope_theta: float = option(
        10000.0, doc="base of the rotary frequencies", minimum=1.0, only_with=("positions", ("rope",))
    )
    norm_eps: float = option(1e-5, doc="added to the mean square or variance in norms", minimum=0.0)

    weights: str | None = option(
        None,
        doc="folder to take the first parameters from, instead of chance: a checkpoint, a model folder, "
        "or a Hugging Face directory of the same shape",
        unit="path",
    )
    lora: LoraOptions | None = option(
        None, doc="train a low-rank adapter over the frozen weights, instead of the weights; needs `weights`"
    )

    def __attrs_post_init__(self) -> None:
        self._fill_in()
        if self.width_per_head is None and (self.width % self.heads or (self.width // self.heads) % 2):
            raise ValueError(
                f"heads must divide width into even parts; got width {self.width} and heads {self.heads}"
            )
        if self.head_width % 2:
            raise ValueError(f"width_per_head must be even; got {self.width_per_head}")
        if self.heads % self.num_kv_heads:
            raise ValueError(f"kv_heads must divide heads; got {self.kv_heads} and {self.heads}")
        if self.positions == "learned" and self.context_length is None:
            raise ValueError("positions: learned needs context_length, the number of places to learn")
        if self.lora is not None:
            self._require_adaptable(self.lora)

    def _require_adaptable(self, lora: LoraOptions) -> None:
        """Refuse an adapter that this shape cannot have, before anything is read."""
        if self.weights is None:
            raise ValueError("lora adapts weights that are there: set weights to their folder")
        lora.targets_among(target_names(self))
        if lora.bias != "none" and self.biases == "none":
            raise ValueError(
                f"lora.bias={lora.bias} would train biases, and with biases: none there are none"
            )
        if lora.bias == "all" and self.norm == "layer":
            raise ValueError(
                "lora.bias=all would train the shifts of LayerNorm, which are kept; use lora_only"
            )

    def _fill_in(self) -> None:
        """Put numbers where none were written: those of the size, else the defaults."""
        size = SIZES[self.size] if self.size is not None else None
        clashes = []
        for name in Size._fields:
            value = getattr(self, name)
            is_written = value is not None and not isinstance(value, Standard)
            if size is not None and is_written and value != getattr(size, name):
                clashes.append(f"{name}={value} (the size has {getattr(size, name)})")
            elif not is_written and size is not None:
                object.__setattr__(self, name, getattr(size, name))
            elif isinstance(value, Standard):
                object.__setattr__(self, name, int(value))
        if self.tied_embeddings is None:
            object.__setattr__(self, "tied_embeddings", True)
        if clashes:
            raise ValueError(f"size={self.size} contradicts {', '.join(clashes)}")

    @property
    def head_width(self) -> int:
        """Width of one attention head, given or derived."""
        return self.width_per_head or self.width // self.heads

    @property
    def num_kv_heads(self) -> int:
        """Heads of keys and values, given or derived."""
        return self.kv_heads or self.heads

    @property
    def is_gated(self) -> bool:
        """Whether the feed-forward layer multiplies two projections."""
        return self.activation == "swiglu"

    @property
    def inner_width(self) -> int:
        """Width of the feed-forward layer, given or derived."""
        if self.ffn_width is not None:
            return self.ffn_width
        if not self.is_gated:
            return 4 * self.width
        return -(-8 * self.width // (3 * _FFN_MULTIPLE)) * _FFN_MULTIPLE

    @property
    def attention_rows(self) -> int:
        """Rows of the matrix that gives queries, keys and values of all heads, stacked in this order."""
        return (self.heads + 2 * self.num_kv_heads) * self.head_width

    @property
    def ffn_rows(self) -> int:
        """Rows of the matrix that enters the feed-forward layer: gate and up stacked, or one."""
        return (2 if self.is_gated else 1) * self.inner_width

    @property
    def num_hidden_parameters(self) -> int:
        """Number of entries of the matrices inside blocks."""
        attention = self.attention_rows + self.heads * self.head_width
        return self.layers * self.width * (attention + self.ffn_rows + self.inner_width)

    def num_parameters(self, vocab_size: int) -> int:
        """Number of parameters; tied matrices count once.

        >>> DecoderOptions(layers=1, width=4, heads=1, ffn_width=8).num_parameters(10)
        212
        """
        norms = (2 * self.layers + 1) * self.width * (2 if self.norm == "layer" else 1)
        norms += 2 * self.layers * self.head_width if self.qk_norm else 0
        biases = self.attention_rows if self.biases != "none" else 0
        biases += 2 * self.width + self.ffn_rows if self.biases == "all" else 0
        tables = vocab_size * self.width * (1 if self.tied_embeddings else 2)
        if self.positions == "learned":
            tables += (self.context_length or 0) * self.width
        return self.num_hidden_parameters + norms + self.layers * biases + tables
