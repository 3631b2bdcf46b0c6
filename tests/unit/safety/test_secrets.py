"""The policy `secrets`: what it finds, what it leaves alone, and what it says of it."""

from __future__ import annotations

import pydoc_data.topics
import re
import sysconfig
import time
from pathlib import Path

import pytest

from codex_core.contracts import SafetyPolicy
from codex_core.error_codes import CATALOGUE
from codex_core.errors import PolicyError
from codex_safety import assignments, private_keys, urls
from codex_safety.options import SecretsOptions
from codex_safety.secrets import RULES, STAGES, SecretsPolicy
from tests.unit.safety.planted import HARMLESS, SECRETS, drawn, private_key

CASES = [
    pytest.param(rule, frame, secret, id=f"{rule}-{number}")
    for rule, cases in SECRETS.items()
    for number, (frame, secret) in enumerate(cases)
]


@pytest.fixture(scope="module")
def policy() -> SecretsPolicy:
    """The policy as it is without options."""
    return SecretsPolicy()


def test_every_rule_has_a_positive_case():
    """A rule without a text that it finds is not tested at all."""
    assert {rule.name for rule in RULES} == set(SECRETS)


@pytest.mark.parametrize(("rule", "frame", "secret"), CASES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_secret_is_redacted_and_the_rest_kept(policy, rule, frame, secret, stage):
    """Exactly the secret is replaced by the mark of its rule; the match tells the span, not the text."""
    text = "Some text before.\n" + frame.format(secret) + "\nSome after."
    decision = policy.inspect(text, stage)

    assert decision.allowed
    if "AS{}" not in frame:  # there the prefix stands in the frame
        assert decision.text == text.replace(secret, f"[REDACTED:{rule}]")
    assert [match.rule for match in decision.matches] == [rule]
    assert secret in text[decision.matches[0].start : decision.matches[0].end]
    assert secret not in repr(decision)


@pytest.mark.parametrize(("rule", "frame", "secret"), CASES)
def test_redacting_twice_changes_nothing(policy, rule, frame, secret):
    """A mark is no secret."""
    once = policy.inspect(frame.format(secret), "data").text

    assert policy.inspect(once, "data").matches == ()


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_a_secret_is_left_alone(policy, text):
    """Own vocabulary, references, templates, placeholders and documentation pass unchanged."""
    decision = policy.inspect(text, "data")

    assert (decision.text, decision.matches) == (text, ())


def test_no_page_of_the_language_reference_holds_a_secret(policy):
    """The text that the demonstration trains on loses nothing to false alarms."""
    for name, page in pydoc_data.topics.topics.items():
        assert policy.inspect(page, "data").matches == (), name


@pytest.mark.slow
def test_the_standard_library_gives_next_to_no_false_alarm(policy):
    """At most three findings in all modules of the standard library, tests aside (observed: none in 12 MB)."""
    library = Path(sysconfig.get_path("stdlib"))
    found = []
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).parts
        if {"site-packages", "test", "tests", "idle_test"}.isdisjoint(parts):
            text = path.read_bytes().decode("utf-8", "replace")
            found += [("/".join(parts), match) for match in policy.inspect(text, "data").matches]
    print(found)
    assert len(found) <= 3


def test_blocking_shows_nothing_from_the_first_secret_on():
    """The text up to the secret stays, then a mark, then nothing; what follows is still searched."""
    blocking = SecretsPolicy(SecretsOptions(action="block"))
    text = f"before hf_{drawn(34)} between AIza{drawn(35)} after"
    decision = blocking.inspect(text, "output")

    assert not decision.allowed
    assert decision.text == "before [BLOCKED:huggingface-token]"
    assert [match.rule for match in decision.matches] == ["huggingface-token", "google-api-key"]
    assert {match.action for match in decision.matches} == {"block"}
    assert blocking.inspect("nothing here", "output").allowed


def test_overlapping_secrets_become_one_mark(policy):
    """A token inside a URL inside an assignment is one secret to the reader, named by the rule that fits best."""
    token = "gh" + "p_" + drawn(36)

    assert policy.inspect(f'token = "{token}"', "data").text == 'token = "[REDACTED:github-token]"'
    decision = policy.inspect(f"https://x:{token}@github.com", "data")
    assert decision.text == "https://x:[REDACTED:github-token]@github.com"
    assert len(decision.matches) == 1


def test_a_private_key_without_end_is_redacted_as_far_as_it_goes(policy):
    """A key that was cut off, or whose end another block replaced, does not survive."""
    block = private_key()
    cut = block[: block.index("-----END")]

    assert policy.inspect(f"{cut}.", "data").text == "[REDACTED:private-key]."
    assert policy.inspect(cut + block, "data").text == "[REDACTED:private-key]" * 2


def test_places_are_code_points_also_after_letters_that_grow_in_lower_case(policy):
    """Lower-casing some letters changes the length of a text; spans do not move with it."""
    secret = drawn(24)
    text = f"İİİ🚀 PASSWORD = '{secret}'"
    match = policy.inspect(text, "data").matches[0]

    assert text[match.start : match.end] == secret


def test_lower_case_keeps_the_length_of_every_other_letter():
    """One letter alone grows in lower case, and the policy knows it."""
    growing = [chr(code) for code in range(0x110000) if len(chr(code).lower()) != 1]

    assert growing == ["İ"]


HOSTILE = (
    *("key=", "pwd=", "secret_token: ", "api_key='", "eyJ", "eyJ.", "://", "://a:", "-----BEGIN "),
    *("-----BEGIN PRIVATE " + "KEY-----", "xoxb-1", "hf_", "a" * 64, " ", "=", "\n", "AKIA", "github_pat_"),
)


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
@pytest.mark.parametrize("action", ["redact", "block"])
def test_hostile_texts_take_linear_time(text, action):
    """400 kB of nothing but beginnings of secrets are searched in seconds, not minutes (observed: below 0.5 s)."""
    policy = SecretsPolicy(SecretsOptions(action=action))
    started = time.process_time()
    policy.inspect(text * (400_000 // len(text)), "data")

    assert time.process_time() - started < 10


def test_rules_look_no_further_than_they_say():
    """The pattern of each rule is at most as long as the reach that a stream waits for."""
    parse = re._parser.parse  # type: ignore[attr-defined]

    def widest(pattern: re.Pattern[str]) -> int:
        return (
            int(parse(pattern.pattern, pattern.flags & ~re.UNICODE).getwidth()[1]) + 1
        )  # one character ahead

    assert widest(assignments.HEAD) <= assignments.HEAD_REACH
    assert widest(assignments.ASSIGNMENT) <= assignments.ASSIGNMENT_REACH
    assert widest(urls.USER_INFO) <= urls.USER_INFO_REACH
    assert widest(private_keys.BEGIN) <= private_keys.BEGIN_REACH
    assert widest(private_keys.END) <= private_keys.END_REACH
    for rule in RULES:
        assert widest(rule.pattern) <= rule.reach, rule.name


def test_a_rule_can_be_switched_off_and_a_misspelt_one_is_refused():
    """Switching off is by exact name; a typo never leaves a rule silently on."""
    quiet = SecretsPolicy(SecretsOptions(off=("assigned-secret",)))

    assert quiet.inspect(f"password = '{drawn(20)}'", "data").matches == ()
    with pytest.raises(PolicyError, match="'assigned-secrets'") as caught:
        SecretsPolicy(SecretsOptions(off=("assigned-secrets",)))
    assert caught.value.code in CATALOGUE
    assert "assigned-secret" in str(caught.value.why)


def test_an_unknown_stage_is_refused(policy):
    """A typo in a stage is no licence to pass."""
    with pytest.raises(PolicyError) as caught:
        policy.inspect("text", "outputs")
    assert caught.value.code == "SAF-001"


def test_the_fingerprint_tells_policies_apart(policy):
    """Another action or other rules are another policy; the same options are the same."""
    assert isinstance(policy, SafetyPolicy)
    fingerprints = {
        each.fingerprint()
        for each in (
            policy,
            SecretsPolicy(SecretsOptions(action="block")),
            SecretsPolicy(SecretsOptions(off=("jwt",))),
        )
    }
    assert len(fingerprints) == 3
    assert policy.fingerprint() == SecretsPolicy(SecretsOptions()).fingerprint()
    assert policy.fingerprint().startswith("sha256:")
