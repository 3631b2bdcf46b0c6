"""`codex data validate`, `preview` and `overlap`, as they are called."""

from __future__ import annotations

import gzip
import hashlib
import json

import pytest

from codex_core.cli.main import main

CHAT = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "4 \u00e9\u2028!"},
    ]
}

#: A row that every reader of JSON Lines refuses, its field, and what is said of it.
HOSTILE = {
    b'{"text": "a", "text": "b"}': (None, "the key 'text' twice"),
    b'{"text": "a", "n": NaN}': (None, "NaN, which is no number"),
    b'{"text": null}': ("text", "null"),
    b'{"txt": "secret"}': ("text", "no such field"),
    b'{"text": "\xff"}': (None, "byte 0xff at 10"),
    b'{"text": "a"': (None, None),
    b'{"text": "\\udc00"}': (None, None),
    b"": (None, "an empty line"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project in the working directory with a file of good and hostile rows, and one of conversations."""
    (tmp_path / ".codex").mkdir()
    good = '{"text": "a\u2028b"}'.encode()
    lines = [b"\xef\xbb\xbf" + good, *HOSTILE, b'{"n": 99999999999999999999999, "text": "caf\xc3\xa9"}\r']
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "chats.jsonl").write_text((json.dumps(CHAT) + "\n") * 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def digest(*texts):
    """The documented digest of texts."""
    found = hashlib.sha256()
    for text in texts:
        found.update(len(text.encode()).to_bytes(8, "big") + text.encode())
    return found.hexdigest()


def answer(capsys, *words):
    """Exit code and JSON of a command."""
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_validate_reports_every_fault(folder, capsys):
    """Each hostile row is one error with file, physical line, field, expected and found; exit 4."""
    code, found = answer(capsys, "data", "validate", "rows.jsonl", "--format", "text")

    assert code == 4
    assert [error["line"] for error in found["errors"]] == list(range(2, 2 + len(HOSTILE)))
    assert {error["file"] for error in found["errors"]} == {"rows.jsonl"}
    for error, (field, said) in zip(found["errors"], HOSTILE.values(), strict=True):
        assert error["field"] == field
        assert said is None or error["found"] == said
        assert error["expected"] and error["found"]
        assert "secret" not in json.dumps(error)
    assert (found["rows"], found["skipped"], found["num_errors"]) == (2, len(HOSTILE), len(HOSTILE))
    assert sum(found["skipped_by_reason"].values()) == len(HOSTILE)
    assert found["texts_sha256"] == digest("a\u2028b", "caf\u00e9")
    assert found["notes"] == {"byte-order mark dropped": 1}


def test_validate_without_faults_is_yes(folder, capsys):
    """Good rows are exit 0; the digest is over the texts of all turns."""
    code, found = answer(capsys, "data", "validate", "chats.jsonl", "--format", "messages")

    assert (code, found["rows"], found["errors"]) == (0, 2, [])
    assert found["texts_sha256"] == digest(*[message["content"] for message in CHAT["messages"]] * 2)


@pytest.mark.parametrize(("most", "code"), [("8", 0), ("7", 4), (None, 0)])
def test_validate_with_skips(folder, capsys, most, code):
    """Skipped rows are reported all the same; more than --max-skip of them are refused."""
    words = ["data", "validate", "rows.jsonl", "--on-error", "skip", *(["--max-skip", most] if most else [])]

    assert answer(capsys, *words)[0] == code


def test_validate_bounds_its_list_and_counts_all(folder, capsys):
    """--max-errors shows the first ones; the number of all of them stays."""
    _, found = answer(capsys, "data", "validate", "rows.jsonl", "--max-errors", "2")

    assert (len(found["errors"]), found["num_errors"]) == (2, len(HOSTILE))


def test_validate_tells_of_a_stream_that_ends_early(folder, capsys):
    """What was read before counts, the end is an error of the file, and the answer is no even with skipping."""
    rows = b"".join(b'{"text": "row %d"}\n' % i for i in range(20_000))
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(rows)[:-5000])
    code, found = answer(capsys, "data", "validate", "cut.jsonl.gz", "--on-error", "skip")

    assert (code, found["complete"]) == (4, False)
    assert 0 < found["rows"] < 20_000
    assert (found["errors"][-1]["code"], found["errors"][-1]["line"]) == ("DAT-019", None)


def test_validate_in_words(folder, capsys):
    """Places can be opened, the summary stands last, and what could not be read is named."""
    assert main(["data", "validate", "rows.jsonl", "--max-errors", "3"]) == 4

    said = capsys.readouterr()
    assert "rows.jsonl:4: field 'text': expected a string, found null [DAT-005]" in said.out
    assert "2 accepted, 8 errors" in said.out
    assert digest("a\u2028b", "caf\u00e9") in said.out
    assert "5 more errors" in said.err


def test_readers_are_chosen_by_name_or_by_the_user(folder, capsys):
    """CSV by its suffix; another reader, fields and group by options; a wrong one is refused."""
    (folder / "table.csv").write_text("q,a\nwhy,because\n")
    fields = ["--field", "prompt=q", "--field", "completion=a"]
    form = ["--format", "prompt_completion", *fields]
    assert answer(capsys, "data", "validate", "table.csv", *form)[1]["texts_sha256"] == digest(
        "why", "because"
    )
    assert answer(capsys, "data", "validate", "table.csv", "--reader", "text")[0] == 0
    code, found = answer(
        capsys, "data", "validate", "chats.jsonl", "--format", "messages", "--group", "topic"
    )
    assert (code, found["errors"][0]["field"]) == (4, "topic")

    assert answer(capsys, "data", "validate", "table.csv", "--field", "text=q", "--group", "text")[0] == 4
    (folder / "table.tsv").write_text("text\tn\na, b\t1\n")
    assert answer(capsys, "data", "validate", "table.tsv")[1]["texts_sha256"] == digest("a, b")

    assert answer(capsys, "data", "validate", "table.csv", "--reader", "cvs")[0] == 2
    assert answer(capsys, "data", "validate", "table.csv", "--field", "prompt")[0] == 2
    assert answer(capsys, "data", "validate", "missing.jsonl")[0] == 4


def test_preview_shows_what_is_learned(folder, capsys):
    """Ids, rendered text and half-open spans of code points; the share stands at the end."""
    code, found = answer(capsys, "data", "preview", "chats.jsonl", "--format", "messages", "--rows", "1")

    (row,) = found["rows"]
    assert code == 0
    assert [row["rendered"][a:b] for a, b in row["loss_spans"]] == ["4 \u00e9\u2028!"]
    assert row["loss_tokens"] == len("4 \u00e9\u2028!".encode()) + 1
    assert (found["tokens"], found["loss_tokens"]) == (len(row["token_ids"]), row["loss_tokens"])
    assert found["supervised_share"] == row["loss_tokens"] / len(row["token_ids"])


def test_preview_in_words_has_brackets_and_no_control_characters(folder, capsys):
    """What is learned stands in brackets; a terminal receives nothing that could command it."""
    row = {"prompt": "a\x1b[31m", "completion": "b"}
    (folder / "rows.jsonl").write_text(json.dumps(row) + "\n")

    assert main(["data", "preview", "rows.jsonl", "--format", "prompt_completion"]) == 0
    said = capsys.readouterr().out
    assert "a\\x1b[31m" in said and "\x1b" not in said
    assert "completion:\n[b]" in said
    assert "supervised 2 of" in said


def test_preview_takes_a_saved_tokenizer(folder, capsys):
    """The folder of any tokenizer that is installed; a name that must learn, and a strange folder, are refused."""
    from codex_core.data.bytes_tokenizer import BytesTokenizer

    (folder / "saved").mkdir()
    BytesTokenizer.train([]).save(folder / "saved")
    by_folder = answer(
        capsys, "data", "preview", "chats.jsonl", "--format", "messages", "--tokenizer", "saved"
    )
    by_name = answer(capsys, "data", "preview", "chats.jsonl", "--format", "messages", "--tokenizer", "bytes")
    assert by_folder == by_name

    assert answer(capsys, "data", "preview", "chats.jsonl", "--tokenizer", ".codex")[0] == 7
    assert answer(capsys, "data", "preview", "chats.jsonl", "--tokenizer", "bits")[0] == 2


def test_preview_with_a_tokenizer_that_must_learn_is_refused(folder, capsys):
    """There is no text to teach it; the message says what to name instead."""
    pytest.importorskip("codex_tokenizers")
    code = main(["data", "preview", "chats.jsonl", "--format", "messages", "--tokenizer", "bpe"])

    assert code == 2
    assert "DAT-027" in capsys.readouterr().err


def test_preview_renders_with_a_template_of_the_tokenizer(folder, capsys):
    """A saved tokenizer is taken with the template that is asked for; its markers are not learned, its end is."""
    pytest.importorskip("codex_tokenizers")
    from codex_tokenizers.bpe import BPE
    from codex_tokenizers.options import BPEOptions

    (folder / "saved").mkdir()
    options = BPEOptions(vocab_size=280, special_tokens=("<|im_start|>", "<|im_end|>"))
    BPE.train(["much so so much"] * 9, options, seed=0).save(folder / "saved")
    words = ["data", "preview", "chats.jsonl", "--format", "messages", "--rows", "1", "--tokenizer", "saved"]

    _, plain = answer(capsys, *words)
    code, found = answer(capsys, *words, "--template", "chatml")
    assert code == 0
    (row,) = found["rows"]
    assert row["rendered"].startswith("<|im_start|>system\nBe brief.<|im_end|>")
    assert plain["rows"][0]["rendered"].startswith("system:\n")
    learned = "".join(row["rendered"][a:b] for a, b in row["loss_spans"])
    assert learned.startswith(CHAT["messages"][2]["content"])
    assert "system" not in learned and "<|im_start|>" not in learned
    assert main([*words, "--template", "none-such"]) in (2, 4)


def test_preview_with_a_template_that_does_not_exist_is_refused(folder, capsys):
    """No tokenizer falls back to another layout in silence."""
    words = ["data", "preview", "chats.jsonl", "--format", "messages", "--template", "none-such"]

    assert main(words) in (2, 4)
    assert "none-such" in capsys.readouterr().err


def test_overlap_counts_and_checks(folder, capsys):
    """Counts, examples by source line, and exit 1 only when it was asked for."""
    (folder / "other.jsonl").write_text('{"text": "CAF\u00c9!"}\n{"text": "new"}\n')
    (folder / "clean.jsonl").write_text('{"text": "caf\u00e9"}\n{"text": "a b"}\n')
    words = ["data", "overlap", "clean.jsonl", "other.jsonl"]
    code, found = answer(capsys, *words)

    assert code == 0
    assert found["documents"] == [2, 2]
    assert found["exact"] == {"documents": 1, "examples": [["clean.jsonl:1", "other.jsonl:1"]]}
    assert found["ngram"]["documents"] == 0
    assert main([*words, "--check"]) == 1
    assert "other.jsonl:1 in clean.jsonl:1" in capsys.readouterr().out
    assert main(["data", "overlap", "clean.jsonl", "chats.jsonl", "--field", "text=none", "--check"]) == 4


def test_splits_of_a_prepared_set_do_not_overlap(folder, capsys):
    """A prepared set is compared by split; two of its splits share no text, a split shares all with itself."""
    lines = [json.dumps({"text": f"number {i} of many"}) for i in range(60)]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    (folder / "run.yaml").write_text(
        "data: {sources: [{name: jsonl, path: rows.jsonl}], seq_len: 16, split: [0.6, 0.2, 0.2]}\n"
        "tokenizer: bytes\nmodel: ngram\ntrainer: ngram\nsafety: {name: none, reason: a test}\n"
    )
    code, prepared = answer(capsys, "data", "prepare", "run.yaml", "--bypass-safety", "a test")
    assert code == 0
    place = prepared["path"]

    code, found = answer(capsys, "data", "overlap", f"{place}:train", f"{place}:test", "--check")
    assert (code, found["exact"]["documents"]) == (0, 0)
    code, found = answer(capsys, "data", "overlap", place, f"{place}:test", "--check")
    assert (code, found["exact"]["documents"]) == (1, found["documents"][1])
    assert main(["data", "overlap", "rows.jsonl:test", place]) == 2
