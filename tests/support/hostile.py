"""Distributions that do whatever a distribution can do wrong: each one alone, or all of them on the path at once.

`EVIL` are modules that cannot be used, `EFFECTS` modules that work and leave something behind; `install_all` adds
those, and everything that metadata alone can get wrong, beside one healthy control.
"""

from __future__ import annotations

from pathlib import Path

from codex_core.components import MAX_COMPONENTS_PER_PLUGIN
from tests.support.distributions import Site, good

TOO_MANY = MAX_COMPONENTS_PER_PLUGIN + 5


def offers(body: str, hook: str = "codex_models") -> str:
    """A healthy module with one more hook."""
    return good(extra=f"\n@hookimpl\ndef {hook}{body}\n")


MODEL = "Component('m', target='a:b', summary='')"

#: Sources that cannot be used, and the reason their row gives.
EVIL = {
    "missing dependency": ("import not_there_at_all", "import-failed"),
    "syntax error": ("def (", "import-failed"),
    "recursion": ("def f(): f()\nf()", "import-failed"),
    "SystemExit": ("raise SystemExit(0)", "import-exits"),
    "sys.exit in a hook": (offers("(): raise SystemExit"), "import-exits"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "import-failed"),
    "other BaseException": ("class E(BaseException): pass\nraise E('mine')", "import-failed"),
    "unprintable exception": (
        "class E(Exception):\n def __str__(self): raise SystemExit\nraise E",
        "import-failed",
    ),
    "MemoryError": ("raise MemoryError", "import-failed"),
    "os._exit": ("import os\nos._exit(7)", "process-died"),
    "signal to itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "process-died"),
    "abort": ("import os\nos.abort()", "process-died"),
    "closes every descriptor": ("import os\nos.closerange(3, 100)\n" + good(), "process-died"),
    "hangs": ("import threading\nthreading.Event().wait()", "timed-out"),
    "failing hook": (offers("(): return 1 / 0"), "hook-failed"),
    "half a generator": (offers(f"():\n yield {MODEL}\n 1 / 0"), "hook-failed"),
    "nothing offered": ("x = 1", "nothing-offered"),
    "undecorated hook": ("def codex_models(): return []", "hook-undecorated"),
    "undecorated other": (good(extra="\ndef codex_helper(): pass\n"), "hook-undecorated"),
    "no function": ("codex_models = 5", "hook-not-callable"),
    "arguments": (offers("(x): return []"), "hook-signature"),
    "coroutine": (good(extra="\n@hookimpl\nasync def codex_models(): return []\n"), "hook-async"),
    "wrapper": (good(extra="\n@hookimpl(wrapper=True)\ndef codex_models(): yield\n"), "hook-wrapper"),
    "unknown hook": (offers("(): return []", "codex_planets"), "unknown-hook"),
    "no list": (offers("(): return 5"), "not-a-component"),
    "no component": (offers("(): return ['m']"), "not-a-component"),
    "subclass": (
        good(extra=f"\nclass Component(Component): pass\n@hookimpl\ndef codex_models(): return [{MODEL}]\n"),
        "not-a-component",
    ),
    "name": (offers("(): return [Component('M!', target='a:b', summary='')]"), "invalid-component"),
    "text": (offers("(): return [Component('m', target='a:b', summary='x' * 301)]"), "invalid-component"),
    "runtime": (
        offers("(): return [Component('m', target='a:b', summary='', runtime=5)]"),
        "invalid-component",
    ),
    "twice": (offers(f"(): return [{MODEL}] * 2"), "duplicate-name"),
    "too many": (
        offers(f"(): return [Component(f'm{{i}}', target='a:b', summary='') for i in range({TOO_MANY})]"),
        "too-many-components",
    ),
    "endless list": (
        "import itertools\n"
        + offers("(): return (Component(f'm{i}', target='a:b', summary='') for i in itertools.count())"),
        "too-many-components",
    ),
    "event with default": (offers("(ctx=None): pass", "codex_run_started"), "hook-signature"),
    "event with other name": (offers("(context): pass", "codex_run_started"), "hook-signature"),
    "event with kwargs": (offers("(ctx, **kw): pass", "codex_run_started"), "hook-signature"),
    "event as generator": (offers("(ctx): yield", "codex_run_started"), "hook-signature"),
    "event as coroutine": (
        good(extra="\n@hookimpl\nasync def codex_run_started(ctx): pass\n"),
        "hook-async",
    ),
}


EFFECTS = {
    "import threading\nthreading.Thread(target=threading.Event().wait).start()\n": "threads",
    "import sys\nsys.path.append('/somewhere')\n": "sys.path",
    "import os\nos.environ['X_OF_PLUGIN'] = '1'\n": "environment",
    "import os\nos.chdir('/')\n": "working directory",
    "import sys\nsys.meta_path.insert(0, type('F', (), {'find_spec': staticmethod(lambda *a: None)}))\n": "finders",
    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n": "signal handlers",
    "import subprocess, sys\nsubprocess.run([sys.executable, '-S', '-c', ''])\n": "processes",
}

#: Modules that work and cost or say more than they should.
LOUD = {
    "prints": "import sys\nprint('noise')\nprint('more', file=sys.stderr)\n",
    "warns": "import warnings\nwarnings.warn('old way')\n",
    "heavy": "import torch\n",
    "connects": "import socket\ntry:\n    socket.create_connection(('192.0.2.1', 80), 1)\nexcept OSError: pass\n",
    "forks": "import os\nif not os.fork(): os._exit(0)\n",
    "hostile attributes": "class Hostile:\n def __repr__(self): raise SystemExit\nthing = Hostile()\n",
    "same name": "",
}

#: What entry_points.txt, or the reference in it, gets wrong; the module, if there is one, is healthy.
POINTS: dict[str, str | bytes] = {
    "no module": "[codex.plugins]\nx = not_there_at_all\n",
    "attribute": "[codex.plugins]\nx = json:loads\n",
    "empty": "[codex.plugins]\nx =\n",
    "library": "[codex.plugins]\nx = json\n",
    "broken": "[codex.plugins\nx = y\n",
    "latin": "[codex.plugins]\n\u00e9 = x\n".encode("latin-1"),
    "twice": "[codex.plugins]\nx = pointed\nx = pointed\n",
    "unicode": "[codex.plugins]\n\u65e5\u672c na\u00efve = pointed\n",
    "control characters": "[codex.plugins]\nbell\x07\x1b[31mred = pointed\n",
    "spaces": "[codex.plugins]\nwith  spaces = pointed\n",
    "cases": "[codex.plugins]\nplug = pointed\nPLUG = pointed\n",
}


def install_all(site: Site, gone: Path) -> str:
    """Install every hostile distribution and a healthy control, which offers `tokenizers/control`; returns its name.

    `gone` is a folder that does not exist.
    """
    site.write_module("torch", "")
    site.write_module("pointed", good("pointed"))
    site.add("aa-control", good())
    for place, (source, _) in enumerate(EVIL.values()):
        site.add(f"evil-{place:02}", source)
    for place, source in enumerate([*EFFECTS, *LOUD.values()]):
        site.add(f"odd-{place:02}", good(f"odd{place}", extra=source))
    for place, points in enumerate(POINTS.values()):
        site.add(f"points-{place:02}", entry_points=points)
    for version in ("(99, 0)", "(0, 1)", "'new'"):
        site.add(f"api-{version[1:-1].replace(', ', '-')}", f"CODEX_API = {version}\n")
    site.add("claims-built-in", good("bytes"))
    site.add("claims-same", good("odd0"))
    site.add("no-metadata", good("no-metadata"), metadata=None)
    site.add("no-version", good("no-version"), version=None)
    site.add("Adv.Odd_Name--Dist", good("oddly-named"), module="adv_odd")
    site.add("half", good("half"), folder="~alf-1.0.dist-info")
    site.add("wants-core", good("wants-core"), requires=["codex-core>=99"])
    site.add(
        "stale", good("stale"), direct_url=f'{{"url": "file://{gone}", "dir_info": {{"editable": true}}}}'
    )
    (site.path / "aa_control-0.dist-info").mkdir()
    return "aa-control"
