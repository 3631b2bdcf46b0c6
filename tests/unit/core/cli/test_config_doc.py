"""The documentation of configuration keys: complete, and read from the classes themselves."""

from __future__ import annotations

from codex_core.cli.config_doc import section_fields
from codex_core.cli.config_reference import Offer, reference_page
from codex_core.data.options import TextOptions
from codex_core.planning import overrides
from codex_core.planning.configio import parse
from codex_core.planning.overrides import apply, parse_override


def test_every_key_is_documented():
    """Each key has a sentence, and a default or the word `required`."""
    page = reference_page(())
    for field in section_fields():
        assert field.doc and len(field.lines()) >= 4, field.path
        assert f"| `{field.path}` |" in page


def test_options_of_components_stand_in_the_page():
    """A component's options are listed where it stands in a configuration, one without options by its id."""
    page = reference_page(
        [
            Offer(kind="datasets", id="codex-core/text", summary="Text files", options=TextOptions),
            Offer(kind="tokenizers", id="codex-core/bytes", summary="Bytes", options=None),
        ]
    )
    assert '| `data.sources[].glob` | text | `"**/*.txt"` |' in page
    assert "Without options: `codex-core/bytes`." in page


def test_the_examples_of_the_override_grammar_run():
    """Every line of the documented grammar is read and can be made on a configuration that fits it."""
    block = (overrides.__doc__ or "").split("\n\n")[2]
    written = "model: other\ntrainer: {warmup: 3}\ndata: {sources: [{name: pydoc}]}\n"
    examples = [line.strip().split("  ")[0].partition(" set ")[0] for line in block.splitlines()]
    assert len(examples) == 7
    for example in examples:
        text = written.replace("warmup: 3", "") if example.startswith("+trainer") else written
        _, mistakes = apply(parse(text, source="x"), [parse_override(example)], lists={})
        assert mistakes == [], example


def test_defaults_in_the_page_are_those_of_the_code():
    """A default is shown as a configuration would write it."""
    shown = {field.path: field.default for field in section_fields()}
    assert shown["data.split"] == "[0.9, 0.05, 0.05]"
    assert shown["checkpoint.every"] == "500 steps"
    assert shown["data.sources"] is None
