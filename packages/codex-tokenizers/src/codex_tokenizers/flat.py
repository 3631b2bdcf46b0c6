"""Rows of ids as one array, for those who store them by the million."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def flat(
    rows: Iterable[Sequence[int]], *, vocab_size: int
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]:
    """Ids back to back (uint16 where the vocabulary fits, else uint32), and how many each row has.

    Each row becomes an array as it comes, so that lists of ids never pile up.
    """
    import numpy as np  # not at the top: a tokenizer serves without arrays, too

    dtype = np.uint16 if vocab_size <= 1 << 16 else np.uint32
    arrays = [np.array(row, dtype=dtype) for row in rows]
    lengths = np.array([len(one) for one in arrays], dtype=np.int64)
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=dtype), lengths
