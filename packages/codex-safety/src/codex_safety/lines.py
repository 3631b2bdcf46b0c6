"""Line numbers of places in a text that arrives in pieces and is not kept."""

from __future__ import annotations

#: How much of the past is kept; a place may be asked for that long after its piece came.
KEPT_CHARACTERS = 1 << 16


class LineCounter:
    """Counts line ends; a line is numbered from 1."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, int, str]] = []  # where it starts, on which line, the text
        self._length = 0
        self._line = 1

    def add(self, text: str) -> None:
        """Take the next piece."""
        if not text:
            return
        self._pieces.append((self._length, self._line, text))
        self._length += len(text)
        self._line += text.count("\n")
        while len(self._pieces) > 1 and self._length - self._pieces[1][0] >= KEPT_CHARACTERS:
            self._pieces.pop(0)

    def line_at(self, position: int) -> int:
        """The line of a position, which is one of the last `KEPT_CHARACTERS`."""
        start, line, text = next(piece for piece in reversed(self._pieces) if piece[0] <= position)
        return line + text.count("\n", 0, position - start)
