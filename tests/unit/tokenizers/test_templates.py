"""Chat templates: what is supervised, what is refused, and that a hostile one is stopped."""

from __future__ import annotations

import json
import os
import time

import pytest

from codex_core.errors import InputError, UsageError
from codex_core.records import Record, Turn
from codex_core.rendering import loss_spans, prompt_ids, stop_ids
from codex_tokenizers import examples, templates
from codex_tokenizers.bpe import BPE
from codex_tokenizers.hf import HF
from codex_tokenizers.options import BPEOptions, HFOptions
from codex_tokenizers.stand_ins import Refused
from codex_tokenizers.template_child import Renderer
from tests.support.tokenizers import TEXTS, TURNS, of_kind

CONVERSATION = Record(
    id="c",
    turns=(
        Turn("user", "2 + 2?", learn=False),
        Turn("assistant", "4"),
        Turn("user", "So?", learn=False),
        Turn("assistant", "Yes"),
    ),
    source=("rows.jsonl", 3),
)

MARKED = (
    "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}"
    "{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def with_template(source: str, tmp_path) -> BPE:
    """A tokenizer with a template of somebody's own."""
    path = tmp_path / "mine.jinja"
    path.write_text(source)
    (tmp_path / "saved").mkdir()
    of_kind("bpe").save(tmp_path / "saved")
    return BPE.take(BPEOptions(path=str(tmp_path / "saved"), template=str(path)))


def learned(tokenizer, record) -> list[str]:
    """The supervised stretches of a rendering."""
    rendered = tokenizer.render(record)
    return [rendered.text[a:b] for a, b in loss_spans(rendered)]


def test_chatml_is_rendered_as_chatml():
    """Markers are single special ids, contents stand between them, BOS is first."""
    tokenizer = of_kind("bpe", "chatml")
    rendered = tokenizer.render(CONVERSATION)
    start, end = (tokenizer.specials.spellings[marker] for marker in ("<|im_start|>", "<|im_end|>"))

    assert rendered.text == (
        "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n"
        "<|im_start|>user\nSo?<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n"
    )
    assert rendered.ids[:2] == (tokenizer.special_ids["bos"], start)
    assert rendered.ids.count(start) == rendered.ids.count(end) == 4
    assert learned(tokenizer, CONVERSATION) == ["4<|im_end|>", "Yes<|im_end|>"]
    assert stop_ids(tokenizer) == (tokenizer.special_ids["eos"], end)


def test_generation_marks_decide_where_they_are(tmp_path):
    """What a template marks as generated is supervised, and nothing beside it."""
    tokenizer = with_template(MARKED, tmp_path)

    assert learned(tokenizer, CONVERSATION) == ["4<|codex:eos|>", "Yes<|codex:eos|>"]
    rendered = tokenizer.render(CONVERSATION)
    assert rendered.ids[: len(prompt_ids(tokenizer, CONVERSATION))] == prompt_ids(tokenizer, CONVERSATION)


def test_only_turns_that_are_to_be_learned_are_supervised():
    """A turn that says `learn=False` gives the same ids without supervision."""
    tokenizer = of_kind("bpe", "chatml")
    first = CONVERSATION.turns[1]
    record = Record(
        id="c",
        turns=(CONVERSATION.turns[0], Turn("assistant", first.text, learn=False), *CONVERSATION.turns[2:]),
        source=("rows.jsonl", 3),
    )

    assert tokenizer.render(record).ids == tokenizer.render(CONVERSATION).ids
    assert learned(tokenizer, record) == ["Yes<|im_end|>"]


def test_the_template_of_a_models_folder_is_used_when_it_is_asked_for(tmp_path):
    """`own` takes the one beside the tokenizer; not given, the layout is plain; where there is none, it is said."""
    examples.write_model_folder(tmp_path, template=TURNS)
    own = HF.take(HFOptions(path=str(tmp_path), template="own"))
    plain = HF.take(HFOptions(path=str(tmp_path)))

    assert own.render(CONVERSATION).text.startswith(
        "[user]\n2 + 2?<|endoftext|>\n[assistant]\n4<|endoftext|>"
    )
    assert plain.render(CONVERSATION).text.startswith("user:\n2 + 2?")
    (tmp_path / "chat_template.jinja").write_text(TURNS.replace("[", "<").replace("<'", "['"))
    assert HF.take(HFOptions(path=str(tmp_path), template="own")).template != own.template
    (tmp_path / "chat_template.jinja").unlink()
    examples.write_model_folder(tmp_path)
    with pytest.raises(UsageError, match="no chat template 'own'"):
        HF.take(HFOptions(path=str(tmp_path), template="own"))


def test_several_templates_of_a_configuration_have_a_default(tmp_path):
    """A list of named templates: the one called `default` counts."""
    examples.write_model_folder(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": TURNS}]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": several}))

    assert HF.take(HFOptions(path=str(tmp_path), template="own")).template.source == TURNS


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "no special token closes an answer"),
        ("{{ messages[-1].content }}{{ eos_token }}", "leaves out the content of message 1"),
        (
            "{% for m in messages %}{{ m.content }}{{ m.content }}{{ eos_token }}{% endfor %}",
            "more than once",
        ),
        ("{% for m in messages | reverse %}{{ m.content }}{{ eos_token }}{% endfor %}", "in another order"),
        (
            "{{ messages | length }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}",
            "is not how the whole conversation begins",
        ),
        ("{% for m in messages %}{{ m.content | upper }}{{ no.such }}{% endfor %}", "UndefinedError"),
        ("{% for m in messages %}", "TemplateSyntaxError"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ ''.__class__.__mro__ }}", "the sandbox forbids it"),
        ("{{ messages.append(1) }}", "the sandbox forbids it"),
        ("{% include 'other' %}", "no loader"),
        ("{{ strftime_now('%Y') }}", "UndefinedError"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        (
            "{% generation %}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}{% endgeneration %}"
            "{% generation %}{% generation %}{% endgeneration %}{% endgeneration %}",
            "nested",
        ),
        (MARKED.replace("{{ eos_token }}", ""), "no special token closes an answer"),
        ("{% generation %}{% endgeneration %}" + TURNS, "leave out the answer"),
    ],
)
def test_a_template_that_would_train_on_something_else_is_refused(source, why, tmp_path):
    """Each template that drops, repeats, moves or hides content, or fails, is refused with the reason and the row."""
    tokenizer = with_template(source, tmp_path)

    with pytest.raises(InputError, match="cannot render a conversation") as caught:
        tokenizer.render(CONVERSATION)
    assert caught.value.code == "TOK-012"
    assert why in str(caught.value.why)
    assert caught.value.where == "rows.jsonl:3 (c)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "did not finish within",
        ),
        ("{% for a in range(99999) %}{{ 'x' * 99 }}{% endfor %}", "more than 1048576 characters"),
        ("{{ 'x' * 10 ** 11 }}", "too much memory"),
        (
            "{% set n = namespace(s='xx') %}{% for a in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}",
            "too much memory",
        ),
    ],
)
def test_a_hostile_template_is_stopped(source, why):
    """An endless loop, a giant output and a giant text in memory end in a refusal; the next template is served."""
    renderer = Renderer(limit_s=1.0) if "finish" in why else Renderer()
    start = time.monotonic()

    with pytest.raises(Refused, match=why):
        renderer.skeleton(source, ("user", "assistant"), {})
    assert time.monotonic() - start < 20
    assert renderer.skeleton(TURNS, ("user", "assistant"), {"eos_token": "<e>"})["starts"], (
        "the next one is served"
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs on Linux only")
def test_a_forked_process_asks_a_child_of_its_own():
    """Two processes never speak to one child: a fork in the middle leaves both with right answers."""
    renderer = Renderer()
    expected = renderer.skeleton(TURNS, ("user",), {"eos_token": "<e>"})
    child = os.fork()
    if child == 0:
        os._exit(0 if renderer.skeleton(TURNS, ("user",), {"eos_token": "<e>"}) == expected else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert renderer.skeleton(TURNS, ("user",), {"eos_token": "<e>"}) == expected


def test_markers_must_be_special_tokens_of_the_tokenizer(tmp_path):
    """`chatml` over a tokenizer that knows no such tokens is refused by name, not spelt in letters."""
    of_kind("bpe").save(tmp_path)

    with pytest.raises(UsageError, match="needs special tokens") as caught:
        BPE.take(BPEOptions(path=str(tmp_path), template="chatml"))
    assert caught.value.code == "TOK-013"
    assert "<|im_start|>" in str(caught.value.why)


def test_further_special_tokens_are_reserved():
    """Markers of a template of one's own become ids when they are named; blanks and doubles are refused."""
    tokenizer = BPE.train(TEXTS[:2], BPEOptions(vocab_size=300, special_tokens=("<turn>",)), seed=0)

    assert tokenizer.encode("<turn>", allow_special=True) == [3]
    assert 3 not in tokenizer.encode("<turn>")
    for wrong in (" ", "<|codex:eos|>"):
        with pytest.raises(UsageError) as caught:
            BPE.train(TEXTS[:2], BPEOptions(vocab_size=300, special_tokens=(wrong,)), seed=0)
        assert caught.value.code == "TOK-014"


@pytest.mark.parametrize("role", ["text", "two words", "<|im_start|>", ""])
def test_a_role_cannot_smuggle_in_a_marker(role):
    """Roles are words; anything else is refused with the row."""
    record = Record(id="c", turns=(Turn("user", "x", learn=False), Turn(role, "y")), source=("rows.jsonl", 9))

    with pytest.raises(InputError, match="cannot render a turn with the role") as caught:
        of_kind("bpe", "chatml").render(record)
    assert caught.value.where == "rows.jsonl:9 (c)"


def test_a_template_that_is_nowhere_is_refused(tmp_path):
    """Neither a built-in name nor a file: the names that exist are told; a file that is no text is an input error."""
    with pytest.raises(UsageError, match="no chat template 'chatm'") as caught:
        templates.find("chatm")
    assert "chatml" in str(caught.value.why)
    (tmp_path / "x.jinja").write_bytes(b"\xff")
    with pytest.raises(InputError) as unreadable:
        templates.find(str(tmp_path / "x.jinja"))
    assert unreadable.value.code == "TOK-011"
    assert templates.inputs("chatml") == templates.inputs(None) == {}


def test_another_template_may_be_looked_at(tmp_path):
    """`render(record, template)` accepts the own name, `plain` and a file; one whose markers are lacking is refused."""
    tokenizer = of_kind("bpe", "chatml")
    (tmp_path / "mine.jinja").write_text(MARKED)

    assert tokenizer.render(CONVERSATION, "chatml") == tokenizer.render(CONVERSATION)
    assert tokenizer.render(CONVERSATION, "plain").text == of_kind("bpe").render(CONVERSATION).text
    assert tokenizer.render(CONVERSATION, str(tmp_path / "mine.jinja")).text.startswith("user: 2 + 2?")
    with pytest.raises(UsageError, match="no chat template 'chatml'") as caught:
        of_kind("bpe").render(CONVERSATION, "chatml")
    assert caught.value.code == "TOK-005" and "<|im_start|>" in str(caught.value.why)
