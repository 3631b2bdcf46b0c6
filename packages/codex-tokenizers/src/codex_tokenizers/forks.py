"""What keeps a forked child from waiting for threads that it does not have.

Decision: the tokenizers library keeps a pool of threads after its first parallel call; a fork copies the pool
without its threads. The library notices, unless the environment says `TOKENIZERS_PARALLELISM=true`, in which case
the child would wait for ever. So from the first parallel call on, children of this process are told to encode in
sequence. Nothing happens at import, and nothing is changed in this process.
"""

from __future__ import annotations

import functools
import os

VARIABLE = "TOKENIZERS_PARALLELISM"


@functools.cache
def make_forks_safe() -> None:
    """Call before parallel work; the first call registers the guard, later ones do nothing."""
    os.register_at_fork(after_in_child=_encode_in_sequence)


def _encode_in_sequence() -> None:
    os.environ[VARIABLE] = "false"
