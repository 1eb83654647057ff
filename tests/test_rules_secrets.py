"""Secrets and personal data: what is found, what is none, that no report prints one, and what `--redact` makes of it.

No secret here is one. Those that a scanner would take for real are put together from pieces.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.stripe import StripeDetector
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import samples

from qwen_sft.format import Conversation
from qwen_sft.ingesting.ingest import expand
from qwen_sft.inspecting.secret import KINDS, by_automaton, by_expressions, may_hold, secrets_in, secrets_of
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.pipeline import Pipeline, outcomes
from qwen_sft.record import Record, Where
from qwen_sft.reporter import Totals, reporters
from qwen_sft.rule import rules
from qwen_sft.sample import Sample
from qwen_sft.settings import Settings
from qwen_sft.shaping.redact import hushed, redacted

MIX = "Zk8vQ2mX9rT4bN7wLs3dHc6fYg5jPa1uEoKiVxBn0CtDqMzRyWSlGhFJpAUeIOTB"
KEYS = {
    "AWS": "AK" + "IAQYLPMN5HHHFPZAM2",
    "GitHub": "gh" + "p_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17",  # expired in 2022; its checksum is right
    "GitLab": "gl" + "pat-" + MIX[:20],
    "OpenAI": "s" + "k-proj-" + MIX[:40] + "T3Blbk" + "FJ" + MIX[10:50],
    "Anthropic": "s" + "k-ant-api03-" + MIX + MIX[:29] + "AA",
    "OpenRouter": "s" + "k-or-v1-" + "3c59dc048e8850243be8079a5c74d079" * 2,
    "DashScope or DeepSeek": "s" + "k-3c59dc048e8850243be8079a5c74d079",
    "OpenAI or the like": "s" + "k-" + MIX[:48],
    "Hugging Face": "h" + "f_" + MIX[:34],
    "Groq": "gs" + "k_" + MIX[:52],
    "xAI": "xa" + "i-" + MIX + MIX[:16],
    "Google": "AI" + "za" + MIX[:35],
    "Slack": "xo" + "xb-481516234201-908172635401-" + MIX[:24],
    "Stripe": "s" + "k_live_" + MIX[:24],
    "SendGrid": "S" + "G." + MIX[:22] + "." + MIX[:43],
    "PyPI": "py" + "pi-AgEIcHlwaS5vcmc" + MIX,
}
PRIVATE = (
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEAw5xU7fYp0kqXl3V9rT2bN7wZk8vQ2mXhJcD4sG6aPzEuHyKo\n"
    "Q2mXhJcD4sG6aPzEuHyKoabc\n-----END RSA PRIVATE KEY-----"
)
TOKEN = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyIjoiam9obiIsIm4iOjd9.dGhlIHNpZ25hdHVyZSBvZiB0aGlzIHRva2Vu"
ASSIGNED = "q7Wn4Vb9Kx2Lp8Rt5Zc3"
CARD = "4716 4617 3344 8519"
EMAIL = "john.roe@gmail.com"
ALL = (*KEYS.values(), PRIVATE, TOKEN, f"client_secret = '{ASSIGNED}'", CARD, EMAIL)


def found(text: str) -> list[tuple[str, str, str]]:
    return [(one.kind, one.of, one.text) for one in secrets_in(text)]


def sample(*texts: str, **more: Any) -> Sample:
    roles = ("user", "assistant")
    messages: Any = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return {"messages": messages, **more}


# -- what is one -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("issuer", "key"), KEYS.items())
def test_key_is_found_by_its_prefix_wherever_it_stands(issuer: str, key: str):
    for text in (key, f"({key})", f"KEY={key}\n", f'{{"key": "{key}"}}', f"a\\n{key}\\n", f"?key={key}&x=1"):
        assert found(text) == [("service key", issuer, key)], text


def test_key_with_a_wrong_checksum_is_none():
    key = KEYS["GitHub"]
    assert found(key[:-1] + "8") == []
    assert found(key.replace("zQWB", "zQWC")) == []
    assert found("npm" + key[3:]) == [("service key", "npm", "npm" + key[3:])]


@pytest.mark.parametrize(
    "text",
    [
        "AK" + "IAIOSFODNN7EXAMPLE",
        "sk-" + "x" * 48,
        "sk-" + "your-key-" * 6,
        "task-3c59dc048e8850243be8079a5c74d079",
        "hf_" + "a" * 34,
        "AIza..." + "x" * 32,
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\n-----END PRIVATE KEY-----",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAw5xU7fYp\n-----END PUBLIC KEY-----",
        "eyJhbGciOiJub25lIn0.eyJ1c2VyIjoiamFuZSJ9.c2lnbmF0dXJlLW9mLXRo",
        "eyJxxxxxxxxxxxxx.eyJ1c2VyIjoiamFuZSJ9.c2lnbmF0dXJlLW9mLXRo",
        "password = os.environ['DATABASE_PASSWORD_1']",
        "password: correct_horse_battery_staple1",
        "api_key = 'YOUR_API_KEY_GOES_HERE_123'",
        "access_key: 123e4567-e89b-12d3-a456-426614174000",
        "secret_name: projects/prod/secrets/db1",
        "nextPageToken: Zk8vQ2mX9rT4bN7wLs3d",
        "4242 4242 4242 4242, 4111111111111111",
        "4539148803436468",
        "0.4716461733448519",
        "id-4716461733448519",
        "4539 1488-0343 6467",
        "47164617334485191234",
        "jane@example.com, noreply@github.com, git@github.com:a/b.git, jane@host.local, a@b.test",
        "@app.route, x@2x.png, user@localhost, via@agent.tool, node@latest.js, https://jane@acme",
        "yourname@yourdomain.com",
        "tokenizer_class = MBart50TokenizerFast",
        "pad_token_id = config.t2u_pad_token_id",
        "TokenAttributes: win32typing.PyWin32Security2",
    ],
)
def test_what_only_looks_like_one_is_none(text: str):
    assert found(text) == []


def test_other_kinds_are_found_with_their_whole_text():
    assert found(f"x\n{PRIVATE}\ny") == [("private key", "RSA", PRIVATE)]
    escaped = PRIVATE.replace("\n", "\\n")
    assert found(f'{{"key": "{escaped}"}}') == [("private key", "RSA", escaped)]
    assert found(f"Bearer {TOKEN}") == [("web token", "signed by 'RS256'", TOKEN)]
    for text in (
        f"client_secret = '{ASSIGNED}'",
        f"DB_PASSWORD={ASSIGNED}",
        f'{{"access_token": "{ASSIGNED}", "x": 1}}',
        f'{{\\"api_key\\": \\"{ASSIGNED}\\"}}',
        f"Authorization: Bearer {ASSIGNED}",
    ):
        assert found(text) == [("assigned secret", "", ASSIGNED)], text
    assert found(f"{CARD}.") == [("card number", "Visa", CARD)]
    assert found("3714 496353 98431, 3714 496353 98448") == []
    assert found("3714 496353 98449") == [("card number", "American Express", "3714 496353 98449")]
    assert found(f"<{EMAIL}>, mailto:x\\n{EMAIL}") == [("e-mail address", "", EMAIL)] * 2


def test_numbered_and_cut_private_keys_are_found():
    numbered = "\n".join(f"{i:6}\t{line}" for i, line in enumerate(PRIVATE.split("\n"), start=1))
    assert [(kind, of) for kind, of, _ in found(numbered)] == [("private key", "RSA")]
    cut = PRIVATE[: PRIVATE.index("\n-----END")]
    assert found(cut + "\n\n[truncated]") == [("private key", "RSA", cut)]


def test_argument_under_a_telling_name_is_found():
    call: Any = {
        "type": "function",
        "function": {"name": "f", "arguments": {"password": ASSIGNED, "card": 4716461733448519}},
    }
    one: Any = {"messages": [{"role": "assistant", "content": "", "tool_calls": [call]}]}
    assert [(path[-1], secret.kind) for path, secret in secrets_of(one)] == [
        ("password", "assigned secret"),
        ("card", "card number"),
    ]


# -- second opinions ---------------------------------------------------------------------------------------------------


def test_what_detect_secrets_finds_is_found():
    detectors = (AWSKeyDetector, GitHubTokenDetector, JwtTokenDetector, NpmDetector, OpenAIDetector, PrivateKeyDetector)
    detectors = (*detectors, SendGridDetector, SlackDetector, StripeDetector)
    n = 0
    for text in ALL:
        theirs = {s for d in detectors for line in text.split("\n") for s in d().analyze_string(line)}
        n += bool(theirs)
        assert not theirs or found(text), text
    assert n >= 7


@pytest.mark.parametrize("sieve", [by_expressions(), by_automaton()], ids=["re", "automaton"])
@given(st.data())
def test_sieve_lets_all_through_that_the_rules_find(sieve: Any, data: st.DataObject):
    around = st.text(max_size=6) | st.sampled_from(["\n", '"', "\\n", "'", "=", " ", "\t", "\\", "(", "é"])
    text = data.draw(around) + data.draw(st.sampled_from(ALL)) + data.draw(around)
    nested = data.draw(st.sampled_from([text, json.dumps(text), json.dumps([json.dumps(text)])]))
    kinds = {one.kind for one in secrets_in(nested)}
    assert kinds <= set(sieve(json.dumps({"a": nested}, ensure_ascii=False).encode("utf-8", "surrogatepass")))


def test_sieve_knows_clean_text_and_numbers():
    assert not may_hold({"a": "What is the weather in Oslo?", "b": [1, 2.5, None, "user@example.com"]})
    assert may_hold({"a": 4716461733448519}) == {"card number"}
    assert may_hold({"a": "\ud800"}) == KINDS


# -- findings ----------------------------------------------------------------------------------------------------------


def check(code: str, given: Sample) -> list[tuple[str, str]]:
    made = rules()[code].check(Transcript(given, Settings()))
    return [(".".join(map(str, one.path)), one.says) for one in made]


def test_findings_say_what_and_where_and_not_the_secret():
    said = sample(f"{PRIVATE} {KEYS['AWS']}", f"{TOKEN} secret='{ASSIGNED}' {CARD} {EMAIL} a@acme.io {KEYS['AWS']}")
    assert check("SEC001", said) == [("messages.0.content", "this text holds a private key (RSA 151 characters)")]
    assert check("SEC002", said) == [
        ("messages.0.content", "this text holds a key of AWS: 'AKIA'… (20 characters), 2 times in this sample")
    ]
    assert check("SEC003", said) == [
        ("messages.1.content", "this text holds a web token signed by 'RS256': 'eyJh'… (102 characters)")
    ]
    assert check("SEC004", said) == [
        ("messages.1.content", "this text assigns what looks like a secret: 'q7Wn'… (20 characters)")
    ]
    assert check("SEC005", said) == [
        ("messages.1.content", "this text holds what looks like a card number (Visa): '4716'… (19 characters)")
    ]
    assert check("SEC006", said) == [
        ("messages.1.content", "this text holds an e-mail address: 'john'… (18 characters), and 1 more in this sample")
    ]


def test_no_report_prints_a_secret(tmp_path: Path):
    file = tmp_path / "runs.jsonl"
    file.write_text(json.dumps(sample(" ".join(ALL), "Done.")) + "\n")
    pipeline = Pipeline(Settings(select=("SEC",)))
    (outcome,) = outcomes(expand([str(file)]), pipeline)
    assert sorted({d.code for d in outcome.diagnostics}) == ["SEC001", "SEC002", "SEC003", "SEC004", "SEC005", "SEC006"]
    for name, reporter in reporters().items():
        report = tmp_path / name
        with report.open("w", encoding="utf-8") as stream:
            reporter.report(outcome.diagnostics, Totals(n_records=1), stream, None)
        text = report.read_text()
        assert "SEC002" in text, name
        assert not [one for one in (*KEYS.values(), TOKEN, ASSIGNED, CARD, EMAIL) if one in text], name


# -- redact ------------------------------------------------------------------------------------------------------------


def without(given: Sample) -> Sample:
    return redacted(Conversation(given, [])).sample


def test_the_same_secret_gets_the_same_placeholder_everywhere():
    arguments = {"to": EMAIL, "card": 4716461733448519, "raw": json.dumps({"key": KEYS["AWS"], "mail": "x\n" + EMAIL})}
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    told: Any = {
        "id": "1",
        "messages": [
            {"role": "user", "content": f"I am {EMAIL}, {CARD}; bob@acme.io knows client_secret='{ASSIGNED}'."},
            {"role": "assistant", "content": "", "reasoning_content": f"{ASSIGNED}!", "tool_calls": [call]},
            {"role": "tool", "content": f"{KEYS['AWS']} {EMAIL.upper()} {PRIVATE}"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": f"Ask bob@acme.io. {TOKEN}"}}],
        "metadata": {"user": EMAIL},
    }
    before = json.dumps(told)
    arguments = {"to": "user1@example.com", "card": 9000000000000001}
    raw = json.dumps({"key": "[service key 1]", "mail": "x\nuser1@example.com"})
    assert without(told) == {
        "id": "1",
        "messages": [
            {
                "role": "user",
                "content": "I am user1@example.com, 9000 0000 0000 0001; user2@example.com knows "
                "client_secret='[assigned secret 1]'.",
            },
            {
                "role": "assistant",
                "content": "",
                "reasoning_content": "[assigned secret 1]!",
                "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {**arguments, "raw": raw}}}],
            },
            {"role": "tool", "content": "[service key 1] user1@example.com [private key 1]"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "Ask user2@example.com. [web token 1]"}}
        ],
        "metadata": {"user": "user1@example.com"},
    }
    assert json.dumps(told) == before


def test_placeholder_that_stands_already_is_not_used_again():
    told = without(sample(f"user1@example.com and {EMAIL}, [service key 1] and {KEYS['AWS']}", "Done."))
    assert told.get("messages", [])[0].get("content") == (
        "user1@example.com and user2@example.com, [service key 1] and [service key 2]"
    )


def test_sample_without_secrets_stays_the_same_object():
    one = Conversation(sample("Hello", "Hi."), [])
    assert redacted(one) is one


def shape(value: Any) -> Any:
    """A JSON value with its types alone."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else type(value).__name__


@given(samples(), st.lists(st.sampled_from(ALL) | st.text(max_size=5), max_size=5))
@example(sample(), [EMAIL, EMAIL])
@example(sample(), [CARD, CARD])
@example(sample(), [KEYS["AWS"], "_", KEYS["AWS"]])
def test_redacting_leaves_no_secret_and_keeps_the_shape(given: Sample, pieces: list[str]):
    text = "".join(pieces)
    arguments: Any = {"a": text, "b": [4716461733448519, json.dumps({"c": text})]}
    call: Any = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    told: Any = {
        **given,
        "messages": [*given.get("messages", []), {"role": "assistant", "content": text, "tool_calls": [call]}],
    }
    made: Any = without(told)
    assert secrets_of(made) == []
    assert shape(made) == shape(told)
    assert without(made) is made
    inner = made["messages"][-1]["tool_calls"][0]["function"]["arguments"]["b"][1]
    assert json.loads(inner).keys() == {"c"}


def test_redact_setting_makes_a_record_clean(tmp_path: Path):
    file = tmp_path / "runs.jsonl"
    file.write_text(json.dumps(sample(" ".join(ALL), "Done.")) + "\n")
    (outcome,) = outcomes(expand([str(file)]), Pipeline(Settings(redact=True)))
    assert [d.code for d in outcome.diagnostics] == []
    content: Any = outcome.conversations[0].sample.get("messages", [])[0].get("content")
    assert re.sub(r"\d+", "0", content) == " ".join(
        (
            *["[service key 0]"] * len(KEYS),
            "[private key 0] [web token 0] client_secret = '[assigned secret 0]' 0 0 0 0 user0@example.com",
        )
    )


# -- what is set aside or shown ----------------------------------------------------------------------------------------


def kept(run: Any, record: str, *flags: str) -> str:
    """The rejects of a record, and all that a check of it prints."""
    Path("runs.jsonl").write_text(record + "\n")
    converted = run("convert", "runs.jsonl", "--out", "samples.jsonl", *flags)
    said = [run("validate", "runs.jsonl", "--output-format", name, *flags) for name in reporters()]
    rejects = Path("samples.jsonl.rejects.jsonl").read_text()
    return "".join((rejects, converted.err, *(part for one in said for part in (one.out, one.err))))


KEY = KEYS["GitHub"]
NO_FORMAT = json.dumps(
    {f"a {KEY}": 1, "note": f"use {KEY}", "more": [f"client_secret = '{ASSIGNED}'", 4539148803436467]}
)
FAILED = json.dumps(
    {
        "request": {"messages": [{"role": "user", "content": f"I am {KEY}"}], "model": "m"},
        "response": {"error": {"message": f"{'x' * 40}: wrong key {KEY}"}},
        "status": 401,
        "uri": "https://example.com/v1/chat/completions",
    }
)
UNREAD = '{"messages": [{"role": "user", "content": "' + KEY + '"}'


@pytest.mark.parametrize(
    "record", [FAILED, UNREAD, NO_FORMAT.replace(f"a {KEY}", "a")], ids=["failed", "unread", "none"]
)
def test_with_redact_no_secret_is_set_aside_or_shown(record: str, run: Any):
    plain = kept(run, record)
    assert KEY in plain
    hushed = kept(run, record, "--redact")
    leaked = [piece for piece in (KEY, KEY[:12], ASSIGNED, ASSIGNED[:8], "4539148803436467") if piece in hushed]
    assert leaked == []
    assert "[service key 1]" in Path("samples.jsonl.rejects.jsonl").read_text()


def test_a_reject_without_secrets_stays_as_it_stood_with_redact_too(run: Any):
    kept(run, '{"note":   1.50}', "--redact")
    assert '"record":{"note":   1.50}}' in Path("samples.jsonl.rejects.jsonl").read_text()


def test_a_secret_is_told_by_one_placeholder_in_a_reject(run: Any):
    kept(run, json.dumps({"a": [KEY, f"x {KEY}", KEYS["AWS"]], "b": 4539148803436467, "n": 2**70}), "--redact")
    (line,) = Path("samples.jsonl.rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["record"] == {
        "a": ["[service key 1]", "x [service key 1]", "[service key 2]"],
        "b": 9000000000000001,
        "n": 2**70,
    }


@pytest.mark.parametrize("n", range(len(KEY)))
def test_a_finding_shows_no_more_than_the_first_four_characters(n: int):
    whole = hushed(Record(Where("a", 1), {"a": KEY}, b"{}"))
    says = whole.text(f"it is '{KEY[:n]}'…, that is {KEY[:n]}…")
    word = "[service key 1]" if n > 4 else KEY[:n]
    assert says == f"it is '{word}'…, that is {word}…"
    assert whole.text(f"'{KEY}' and {KEY}…") == "'[service key 1]' and [service key 1]…"
