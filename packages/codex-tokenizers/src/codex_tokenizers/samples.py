"""The backends of byte-level BPE, and the texts on which they must agree."""

from __future__ import annotations

BACKENDS = ("auto", "hf", "tiktoken")

#: White space, signs, scripts, joiners, look-alikes, and letters that Unicode 14 to 17 added.
SAMPLE = (
    "def f(a, b):\n    return a+b  # naïve\n\n\n\tx = 12345678\r\n",
    "It's 3.75 bytes -- DON'T \u201cquote\u201d   me...\n   \n  \n      end ",
    "日本語 العربية हिन्दी ไทย e\u0301 \u200b\u200d👩\u200d🚀🇩🇪 ½ Ⅷ ² ٣ \u00a0\u2028\u3000\x00\x1c\x85",
    "<|codex:eos|><|endoftext|></s>\n\n"
    + " " * 100
    + "\t" * 50
    + "\n" * 50
    + "a" * 200
    + "-" * 100
    + "7" * 50,
    "\U0001df00 \U0001e4d0 \U0002ebf0 \U000105c0 \U00010d4a \U00016ea0 \ua7dc \u1c89 \U0001fae8 \U00011f04",
)
