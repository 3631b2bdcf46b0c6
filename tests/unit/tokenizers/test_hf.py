"""Tokenizers of models' folders: roles, honesty about losses, look-alikes, and files that are none."""

from __future__ import annotations

import json

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from codex_core.errors import ArtefactError, InputError, UsageError
from codex_core.records import Record, Turn
from codex_core.rendering import prompt_ids
from codex_tokenizers.examples import write_model_folder
from codex_tokenizers.hf import HF
from codex_tokenizers.options import HFOptions


@pytest.fixture
def folder(tmp_path):
    """A model's folder."""
    write_model_folder(tmp_path)
    return tmp_path


def take(folder, **options) -> HF:
    """What the folder holds."""
    return HF.take(HFOptions(path=str(folder), **options))


def edit(folder, **changes) -> None:
    """Replace parts of `tokenizer.json`."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_ids_are_those_of_the_library(folder):
    """Folder and file alike: the library's ids, without its special tokens, truncation and padding."""
    edit(folder, truncation={"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0})
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    library.no_truncation()

    for tokenizer in (take(folder), take(folder / "tokenizer.json")):
        assert tokenizer.encode("the hen said he") == library.encode("the hen said he").ids
    assert dict(take(folder).special_ids) == {"bos": 258, "eos": 258}


def test_roles_come_from_either_file_or_from_options(folder):
    """The configuration first, then the map; an option says it where neither does; no role is guessed."""
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(UsageError, match="lacks a special token") as caught:
        take(folder)
    assert caught.value.code == "TOK-017"
    assert dict(take(folder, eos="<|endoftext|>", pad="<|endoftext|>").special_ids) == {
        "bos": 258,
        "eos": 258,
        "pad": 258,
    }
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    assert take(folder).special_ids["eos"] == 258
    with pytest.raises(UsageError, match="lacks a special token"):
        take(folder, bos="he")


@pytest.mark.parametrize(
    ("changes", "lossless"),
    [
        ({}, True),
        ({"normalizer": {"type": "NFC"}}, False),
        (
            {
                "pre_tokenizer": {
                    "type": "ByteLevel",
                    "add_prefix_space": True,
                    "trim_offsets": True,
                    "use_regex": True,
                }
            },
            False,
        ),
        ({"decoder": None}, False),
        ({"pre_tokenizer": {"type": "Whitespace"}}, False),
    ],
)
def test_lossless_is_worked_out_from_the_file(changes, lossless, folder):
    """A normaliser, an added blank, a missing decoder or another splitter: not lossless, and the artefact says so."""
    edit(folder, **changes)
    tokenizer = take(folder)
    (folder / "saved").mkdir()
    tokenizer.save(folder / "saved")

    assert tokenizer.lossless is lossless
    assert json.loads((folder / "saved" / "codex-tokenizer.json").read_text())["lossless"] is lossless
    assert HF.load(folder / "saved").fingerprint() == tokenizer.fingerprint()


def test_a_piece_that_is_spelt_like_a_special_token_does_not_leak(tmp_path):
    """A unigram model that knows `</s>` as a piece: text that spells it is text, in every way in."""
    pieces = [("<unk>", 0.0), ("</s>", -1.0), *((letter, -5.0) for letter in "</s>abc")]
    library = Tokenizer(models.Unigram(pieces, unk_id=0))
    library.normalizer = normalizers.Sequence([])
    library.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")
    library.decoder = decoders.Fuse()
    library.add_special_tokens(["</s>"])
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = take(tmp_path, eos="</s>")
    text = "a</s></s>b"

    for ids in (
        tokenizer.encode(text),
        tokenizer.encode_with_offsets(text)[0],
        list(tokenizer.encode_batch([text]).ids[0]),
        tokenizer.encode_many_flat([text])[0].tolist(),
    ):
        assert 1 not in ids
        assert tokenizer.decode(ids) == text
    offsets = tokenizer.encode_with_offsets(text)[1]
    assert "".join(text[a:b] for a, b in offsets) == text
    assert tokenizer.encode(text, allow_special=True).count(1) == 2
    record = Record(id="a", turns=(Turn("user", text, learn=False), Turn("assistant", text)), source=("a", 1))
    assert tokenizer.render(record).ids.count(1) == 3
    assert tokenizer.render(record).ids[: len(prompt_ids(tokenizer, record))] == prompt_ids(tokenizer, record)


@pytest.mark.parametrize("damage", ["absent", "not-json", "no-object", "no-tokenizer"])
def test_files_that_hold_no_tokenizer_are_refused(damage, folder):
    """Exit 4 with the file's name, whatever is wrong with it; nothing of it runs."""
    path = folder / "tokenizer.json"
    path.unlink()
    if damage != "absent":
        path.write_text({"not-json": "{", "no-object": "[]", "no-tokenizer": '{"model": 1}'}[damage])

    with pytest.raises(InputError) as caught:
        take(folder)
    assert caught.value.code == "TOK-016"
    assert str(folder) in str(caught.value.where)


def test_a_saved_one_is_taken_as_it_was_saved(folder):
    """A folder that `save` wrote keeps roles and template; an edited file of it is refused."""
    write_model_folder(folder, template="{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}")
    saved = folder / "saved"
    saved.mkdir()
    take(folder, template="own").save(saved)

    assert take(saved).template is not None
    assert take(saved, template="plain").template is None
    (saved / "tokenizer.json").write_text("{}")
    with pytest.raises(ArtefactError):
        take(saved)


@pytest.mark.slow
def test_a_template_renders_as_transformers_renders_it(folder):
    """Where contents have no blanks at their ends, text and prompt are those of `apply_chat_template`, behind BOS."""
    transformers = pytest.importorskip("transformers")
    template = (
        "{% for m in messages %}<{{ m['role'] }}>\n{{ m['content'] | trim }}{{ eos_token }}\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>\n{% endif %}"
    )
    write_model_folder(folder, template=template)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(str(folder))
    ours = take(folder, template="own")
    turns = (Turn("user", "the hen?", learn=False), Turn("assistant", "She said\nhe"))
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    rendered = ours.render(Record(id="a", turns=turns, source=("a", 1)))

    assert rendered.text == theirs.apply_chat_template(messages, tokenize=False)
    assert ours.decode(rendered.ids[1:]) == theirs.decode(
        theirs(rendered.text)["input_ids"], skip_special_tokens=True
    )
    asked = prompt_ids(ours, Record(id="a", turns=turns[:1], source=("a", 1)))
    prompt = theirs.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert asked[1:] == tuple(theirs(prompt)["input_ids"])
