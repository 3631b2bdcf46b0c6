"""Options of the decoder; importing this module loads no torch.

Decision: what can be derived has `None` as default and a property that derives it.
"""

from __future__ import annotations

import attrs

from codex_core.options import option

#: Feed-forward widths are rounded up to a multiple of this, which GEMM kernels like.
_FFN_MULTIPLE = 64


@attrs.frozen(kw_only=True)
class DecoderOptions:
    """The shape of a decoder-only Transformer."""

    layers: int = option(6, doc="number of blocks", minimum=1)
    width: int = option(256, doc="width of the residual stream", minimum=2)
    heads: int = option(4, doc="attention heads; divides width into even parts", minimum=1)
    ffn_width: int | None = option(
        None,
        doc="width of the gated feed-forward layer; 8/3 of width, rounded up to 64, by default",
        minimum=1,
    )
    context_length: int | None = option(
        None,
        doc="longest row in tokens; the length of the training rows by default",
        unit="tokens",
        minimum=1,
    )
    tied_embeddings: bool = option(True, doc="use the embedding matrix as output matrix, too")
    scale_embeddings: bool = option(
        True,
        doc="multiply embeddings by the square root of width, so that they enter blocks with a size near one",
    )
    dropout: float = option(
        0.0, doc="dropout on embeddings and on what blocks add, in 256ths", minimum=0.0, maximum=0.9
    )
    rope_theta: float = option(10000.0, doc="base of the rotary frequencies", minimum=1.0)
    norm_eps: float = option(1e-5, doc="added to the mean square in RMSNorm", minimum=0.0)

    def __attrs_post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(
                f"heads must divide width into even parts; got width {self.width} and heads {self.heads}"
            )

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    @property
    def inner_width(self) -> int:
        """Width of the feed-forward layer, given or derived."""
        if self.ffn_width is not None:
            return self.ffn_width
        return -(-8 * self.width // (3 * _FFN_MULTIPLE)) * _FFN_MULTIPLE

    @property
    def num_hidden_parameters(self) -> int:
        """Number of entries of the matrices inside blocks."""
        return self.layers * (4 * self.width**2 + 3 * self.width * self.inner_width)

    def num_parameters(self, vocab_size: int) -> int:
        """Number of parameters; tied matrices count once.

        >>> DecoderOptions(layers=1, width=4, heads=1, ffn_width=8).num_parameters(10)
        212
        """
        gains = (2 * self.layers + 1) * self.width
        embeddings = vocab_size * self.width * (1 if self.tied_embeddings else 2)
        return self.num_hidden_parameters + gains + embeddings
