"""`codex generate` as its users have it: prompts of all kinds in, text out, whatever stands beside them."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

pytest.importorskip("codex_models")

from codex_core.cli.chat import Chat
from codex_core.cli.main import main
from codex_core.cli.models import open_model
from codex_core.cli.session import Flags, Session
from codex_core.records import GenerationSettings

#: Looks like an access key, and is none.
SECRET = "key = 'AKIA" + "IOSFODNN7EXAMPLX'"

GREEDY = ["--temperature", "0", "--max-new-tokens", "12"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with a tiny model that has seen nothing."""
    path = tmp_path_factory.mktemp("generate")
    (path / ".codex").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        assert main(["-q", "model", "make-tiny", "--out", "tiny"]) == 0
    return path


@pytest.fixture
def say(project, monkeypatch, capsys):
    """Run `codex generate --model tiny ...` with what is typed; gives exit code, stdout and stderr."""
    monkeypatch.chdir(project)

    def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        stdin = io.TextIOWrapper(io.BytesIO(typed.encode()), encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", stdin)
        code = main(["generate", "--model", "tiny", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def _texts(out: str) -> list[str]:
    return [json.loads(line)["text"] for line in out.splitlines()]


def test_lines_in_are_lines_out_in_order(say):
    """Every prompt line has its line of output, equal to what the prompt gives alone, in any company."""
    prompts = ["A", "Once upon a time there was", "xyz"]
    typed = "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)
    code, out, _ = say("--prompts", "-", *GREEDY, typed=typed)
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert {row["finish_reason"] for row in rows} <= {"length", "stop"}
    for prompt, row in zip(prompts, rows, strict=True):
        alone = json.loads(say("--json", *GREEDY, prompt)[1])["completions"][0]
        assert alone["text"] == row["text"]


def test_sampling_repeats_with_its_seed(say):
    """Equal seeds give equal text, other seeds other text; every way to draw is taken."""
    ways = ["--top-k", "50", "--top-p", "0.95", "--min-p", "0.01", "--repetition-penalty", "1.2"]
    first, again, other = (say("--seed", seed, *ways, "Hello")[1] for seed in ("1", "1", "2"))
    assert first == again != other


def test_a_stop_string_ends_the_text(say):
    """Output ends before the stop string, although it lies across tokens, and says why."""
    whole = json.loads(say("--json", *GREEDY, "Hello")[1])["completions"][0]["text"]
    stop = whole[4:6]
    found = json.loads(say("--json", *GREEDY, "--stop", stop, "Hello")[1])["completions"][0]
    assert found["text"] == whole[: whole.index(stop)]
    assert found["finish_reason"] == "stop"


def test_one_prompt_is_streamed_with_its_text(say):
    """Plain output is the prompt and its continuation, and nothing else stands on stdout."""
    told = json.loads(say("--json", *GREEDY, "Hello")[1])["completions"][0]["text"]
    assert say(*GREEDY, "Hello")[1] == f"Hello{told}\n"


def test_a_conversation_is_what_its_messages_are(say):
    """A turn of the chat is answered as the same messages are from a file; /reset forgets, /exit ends."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    asked = json.dumps({"messages": messages}) + "\n"
    told = _texts(say("--prompts", "-", *GREEDY, typed=asked)[1])[0]
    code, out, err = say(
        "--chat", "--system", "Be brief.", *GREEDY, typed="Hello\n/reset\nHello\n/exit\nnever read\n"
    )
    assert code == 0
    assert out == f"{told}\n{told}\n"
    assert "begins anew" in err


def test_a_history_that_grows_too_long_loses_its_oldest_turns(say):
    """The conversation goes on beyond the context, and what is left out is told."""
    typed = "".join(f"turn number {number} of many words and more\n" for number in range(12))
    code, out, err = say("--chat", *GREEDY, typed=typed)
    assert code == 0
    assert out.count("\n") >= 12
    assert "no longer fit the context of 256 tokens" in err


def test_a_prompt_beyond_the_context_is_refused_or_cut(say):
    """Both lengths are named, and with the flag the end of the prompt is read."""
    long = "word " * 80
    code, out, err = say(*GREEDY, long)
    assert (code, out) == (4, "")
    assert "401 tokens and the model's context is 256" in err
    code, out, err = say("--truncate-prompt", *GREEDY, long)
    assert code == 0
    assert "read its last 244 only" in err


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "why"),
    [
        (["--prompts", "-", "Hello"], "", 2, "exclude each other"),
        (["--chat", "--json"], "", 2, "--chat prints answers"),
        (["--system", "x", "Hello"], "", 2, "--system has no effect"),
        (["--stop", "", "Hello"], "", 2, "--stop is empty"),
        (["--prompts", "missing.jsonl"], "", 4, "cannot be read"),
        (["--prompts", "-"], '{"text": "x"}\n', 4, "stdin:1"),
        (["--chat"], "word " * 300 + "\n", 4, "this turn has"),
    ],
)
def test_what_makes_no_sense_is_refused(say, arguments, typed, code, why):
    """Contradicting options are exit 2, prompts that cannot be read exit 4; stdout stays empty."""
    got, out, err = say(*arguments, typed=typed)
    assert (got, out) == (code, "") or "--json" in arguments
    assert got == code
    assert why in err


def test_a_secret_in_a_turn_is_redacted_aloud(say):
    """What the policy takes out of a prompt is told, and the conversation goes on."""
    pytest.importorskip("codex_safety")
    code, out, err = say("--chat", *GREEDY, typed=f"{SECRET}\nHello\n")
    assert code == 0
    assert out.count("\n") >= 2
    assert "safety redacted 1 span(s) of the prompt" in err


def test_a_blocked_turn_is_forgotten_and_told(project, capsys):
    """A policy that blocks: the turn is not answered, the next one is, and the exit code says that there was one."""
    pytest.importorskip("codex_safety")
    from codex_safety.options import SecretsOptions
    from codex_safety.secrets import SecretsPolicy

    policy = SecretsPolicy(SecretsOptions(action="block"))
    opened = open_model(Session(flags=Flags(verbosity=-1)), str(project / "tiny"))
    chat = Chat(opened=opened, settings=GenerationSettings(max_new_tokens=3, temperature=0.0), policy=policy)
    assert chat.run([SECRET + "\n", "Hello\n"]) == 1
    said = capsys.readouterr()
    assert "blocked by the safety policy" in said.err
    assert [turn.role for turn in chat.turns] == ["user", "assistant"]
    assert chat.turns[0].text == "Hello"


def test_commands_of_the_page_run_one_after_another(tmp_path, monkeypatch, capsys):
    """Every command of the how-to page works in an empty project; what it pipes is typed."""
    (tmp_path / ".codex").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Once"}\n')
    page = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "generate-text.md"
    commands = re.findall(r"^\$ (?:printf '(.*)' \| )?codex (.+)$", page.read_text(), re.M)
    assert len(commands) == 4
    for typed, line in commands:
        stdin = io.TextIOWrapper(io.BytesIO(typed.replace("\\n", "\n").encode()), encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(shlex.split(line)) == 0, capsys.readouterr().err
