"""Secrets that belong to nobody, put together when a test asks, so that no file of the repository holds one."""

from __future__ import annotations

import random
import string

LETTERS_AND_DIGITS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def drawn(count: int, alphabet: str = LETTERS_AND_DIGITS, *, seed: int = 7) -> str:
    """`count` characters, always the same ones, with a digit among the first."""
    chosen = random.Random(f"{seed} {count} {alphabet}")
    return "a7c" + "".join(chosen.choice(alphabet) for _ in range(count - 3))


def private_key(*, lines: int = 12, kind: str = "RSA ", joint: str = "\n") -> str:
    """A block in PEM armour."""
    body = joint.join(drawn(64, LETTERS_AND_DIGITS + "+/", seed=number) for number in range(lines))
    return f"-----BEGIN {kind}PRIVATE " + f"KEY-----{joint}{body}{joint}-----END {kind}PRIVATE KEY-----"


#: By rule: texts, each with the secret alone in second place.
SECRETS: dict[str, list[tuple[str, str]]] = {
    "aws-access-key-id": [
        ("id = {}\n", "AK" + "IA" + drawn(16, string.ascii_uppercase + "234567").upper()),
        ("x AS" + "{} y", "IA" + drawn(16, string.ascii_uppercase).upper()),
    ],
    "github-token": [
        ("export T={}", "gh" + "p_" + drawn(36)),
        ("'{}'", "gh" + "s_" + drawn(40)),
        ("({})", "github" + "_pat_" + drawn(22) + "_" + drawn(59)),
    ],
    "gitlab-token": [
        ("a {} b", "gl" + "pat-" + drawn(20)),
        ("a {}.", "gl" + "pat-" + drawn(27) + ".01.0a1b2c3d4"),
    ],
    "slack-token": [
        ("a {} b", "xo" + "xb-123456789012-1234567890123-" + drawn(24)),
        ("a {} b", "xa" + "pp-1-A1B2C3D4E5F-1234567890123-" + drawn(64, HEX)),
        (
            "https://hooks.slack" + ".com/services/{}",
            "T" + drawn(8).upper() + "/B" + drawn(8).upper() + "/" + drawn(24),
        ),
    ],
    "stripe-key": [
        ("a {} b", "sk" + "_live_" + drawn(24)),
        ("a {} b", "rk" + "_test_" + drawn(99)),
    ],
    "google-api-key": [
        ("?k={}&x", "AI" + "za" + drawn(35)),
        ('"{}"', "GOC" + "SPX-" + drawn(28)),
    ],
    "huggingface-token": [("login('{}')", "h" + "f_" + drawn(34))],
    "jwt": [("Bearer {}\n", "ey" + "J" + drawn(33) + ".ey" + "J" + drawn(90) + "." + drawn(43))],
    "private-key": [
        ("# mine\n{}\n# end", private_key()),
        ('"{}"', private_key(kind="", joint="\\n")),
        ("{}\n", private_key(lines=200, kind="OPENSSH ")),
    ],
    "url-password": [
        ("postgres://app:{}@db.local/x", "hunt" + "er2"),
        ("git clone https://{}@github.com/a/b", drawn(40, HEX)),
    ],
    "assigned-secret": [
        ('password = "{}"', "SuperSecret" + "123!"),
        ("DB_PASSWORD={}\n", drawn(14)),
        ('{{"client_secret": "{}"}}', drawn(24)),
        ("aws_secret_access_key = {}", drawn(40, LETTERS_AND_DIGITS + "/+")),
        ("apiKey := '{}'", drawn(32, HEX)),
        ("token: str = '{}'", drawn(20)),
        ("config['SECRET_KEY'] = b'{}'", drawn(24)),
        ("?access_token={}&page=2", drawn(30)),
    ],
}

#: Texts that look like secrets and hold none.
HARMLESS = (
    "max_tokens = 4096  # pad_token = '<|pad|>', token_type_ids, eos_token='</s>'",
    "password = getpass.getpass('Password: ')",
    "password = os.environ['DB_PASSWORD2']; token = self.tokens[i1]",
    "api_key: ${API_KEY}\napi_key: <your-api-key-123>\napi_key = '{key1}'",
    "secret = 'correct-horse-battery-staple'",
    "token = 'xxxxxxxxxxxxxxxx1'",
    "password='changeme1234!A'".replace("changeme", "change-me"),
    "key = 'a1B2c3D4e5F6g7'",
    "http://user:password@example.org and http://$USER:$PASS@host/ and http://a:{pw}@b",
    "mailto:me@example.org http://example.org/a:b@c",
    "AK" + "IA is a prefix, ASIA is a continent, eyJ begins a token, ghp_ too",
    "gh" + "p_" + "x" * 36,
    "-----BEGIN RSA PRIVATE " + "KEY-----\n... (the key, in base64) ...\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN CERTIFICATE-----\n" + drawn(64) + "\n-----END CERTIFICATE-----",
    "secret: sha256:" + drawn(64, HEX),
    "tokenizer = Tokenizer2Fast.from_pretrained(name)",
)
