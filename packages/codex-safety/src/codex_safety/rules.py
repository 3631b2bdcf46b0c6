"""What a rule is, and the rules that need no more than a pattern: tokens whose makers gave them a prefix.

Decisions: a rule is tried only where one of its literals stands, by an anchored pattern with bounded repeats, so
that no text takes longer than linear time; it looks at no more than `CONTEXT` characters before the literal and
`reach` from it on, so that a stream can hold back just enough; a span is the secret alone, without quotes or names.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

Span = tuple[int, int]

#: Characters before a literal that a rule may look at.
CONTEXT = 32


#: What all tokens with a prefix are made of; after any other character their verdict is settled.
_TOKEN_CHARACTERS = "[A-Za-z0-9_./-]"

Find = Callable[[str, int], "Span | None"]
Needs = Callable[[str, int], int]


@attrs.frozen(kw_only=True, eq=False)
class Rule:
    """One kind of secret.

    `find(text, at)` is asked wherever a literal stands and gives the span of the secret, or None. The span starts
    at `at` or later. What follows the first `needs(text, at)` characters from `at` on does not change the answer;
    where `text` holds fewer, `needs` may ask for more later, but never for more than `reach`. `pattern` is what
    `find` matches first. Literals of a rule that ignores case are in lower case.
    """

    name: str
    summary: str
    literals: tuple[str, ...]
    reach: int
    find: Find
    needs: Needs
    pattern: re.Pattern[str]
    ignore_case: bool = False


def needs_run(run: str, reach: int) -> Needs:
    """Settled one character after the run (a pattern, its last character repeated), at most after `reach`."""
    compiled = re.compile(f"{run}{{0,{reach}}}+")

    def needs(text: str, at: int) -> int:
        match = compiled.match(text, at)
        if match is None:
            return 1
        return min(match.end() + 1 - at, reach)

    return needs


def needs_head(head: re.Pattern[str], head_reach: int, reach: int) -> Needs:
    """Settled after `head_reach` where the head does not match, else after `reach`."""

    def needs(text: str, at: int) -> int:
        return reach if head.match(text, at) else head_reach

    return needs


def token_rule(
    name: str,
    pattern: str,
    *,
    edge: str,
    literals: tuple[str, ...],
    reach: int,
    summary: str,
    min_distinct: int = 8,
    min_digits: int = 0,
) -> Rule:
    """A rule for tokens: the pattern's group `s` (else all of it), if it is no row of `x` or of words.

    No character of the class `edge` may stand directly before or after it.
    """
    compiled = re.compile(f"(?<![{edge}])(?:{pattern})(?![{edge}])")
    has_group = "s" in compiled.groupindex

    def find(text: str, at: int) -> Span | None:
        match = compiled.match(text, at)
        if match is None:
            return None
        start, end = match.span("s") if has_group and match["s"] else match.span()
        value = text[start:end]
        if len(set(value)) < min_distinct or sum(c.isdigit() for c in value) < min_digits:
            return None
        return start, end

    return Rule(
        name=name,
        summary=summary,
        literals=literals,
        reach=reach,
        find=find,
        pattern=compiled,
        needs=needs_run(f"(?<![{edge}]){_TOKEN_CHARACTERS}", reach),
    )


TOKEN_RULES: tuple[Rule, ...] = (
    token_rule(
        "aws-access-key-id",
        r"A[KS]IA[A-Z0-9]{16}",
        edge="A-Za-z0-9",
        literals=("AKIA", "ASIA"),
        reach=21,
        summary="AWS access key ids, long-lived and temporary",
    ),
    token_rule(
        "github-token",
        r"gh[pousr]_[A-Za-z0-9]{36,255}+|github_pat_[A-Za-z0-9_]{22,255}+",
        edge="A-Za-z0-9_",
        literals=("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        reach=267,
        summary="GitHub tokens: personal, OAuth, app, refresh, fine-grained",
    ),
    token_rule(
        "gitlab-token",
        r"gl(?:pat|rt|dt)-[A-Za-z0-9_-]{20,64}+(?:\.[0-9a-z]{2}\.[0-9a-z]{9})?",
        edge="A-Za-z0-9_-",
        literals=("glpat-", "glrt-", "gldt-"),
        reach=84,
        summary="GitLab tokens: personal, runner, deploy",
        min_digits=1,
    ),
    token_rule(
        "slack-token",
        r"xox[abeoprs]-[0-9A-Za-z-]{20,250}+"
        r"|xapp-[0-9]-[A-Z0-9]{8,20}+-[0-9]{8,16}+-[0-9a-f]{32,80}+"
        r"|hooks\.slack\.com/services/(?P<s>T[A-Z0-9]{6,14}+/B[A-Z0-9]{6,14}+/[A-Za-z0-9]{20,32}+)",
        edge="A-Za-z0-9-",
        literals=("xox", "xapp-", "hooks.slack.com/services/"),
        reach=256,
        summary="Slack bot, user and app tokens, and incoming webhooks",
        min_digits=2,
    ),
    token_rule(
        "stripe-key",
        r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,250}+",
        edge="A-Za-z0-9_",
        literals=("sk_live_", "rk_live_", "sk_test_", "rk_test_"),
        reach=259,
        summary="Stripe secret and restricted keys",
        min_digits=1,
    ),
    token_rule(
        "google-api-key",
        r"AIza[0-9A-Za-z_-]{35}|GOCSPX-[0-9A-Za-z_-]{28}",
        edge="A-Za-z0-9_-",
        literals=("AIza", "GOCSPX-"),
        reach=40,
        summary="Google API keys and OAuth client secrets",
    ),
    token_rule(
        "huggingface-token",
        r"hf_[A-Za-z0-9]{30,64}+",
        edge="A-Za-z0-9_",
        literals=("hf_",),
        reach=68,
        summary="Hugging Face access tokens",
        min_distinct=12,
    ),
    token_rule(
        "jwt",
        r"eyJ[A-Za-z0-9_-]{8,2048}+\.eyJ[A-Za-z0-9_-]{8,4096}+\.[A-Za-z0-9_-]{16,1024}+",
        edge="A-Za-z0-9_-",
        literals=("eyJ",),
        reach=7178,
        summary="signed JSON web tokens",
        min_distinct=12,
    ),
)
