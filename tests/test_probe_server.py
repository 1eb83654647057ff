"""`qwen-sft probe` against a server in a process of its own: each fault planted there gets its own diagnosis."""

import json
import os
import pty
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command import Ran as BareRan
from hypothesis import given, settings
from hypothesis import strategies as st
from shown import blocks_of, commands, matches
from shown import run as execute

from qwen_sft import __version__
from qwen_sft.probing.answer import Answer, Call, streamed_answer, whole_answer
from qwen_sft.probing.fault import MODEL, SERVER, Fault
from qwen_sft.probing.judge import judge_calls, judge_end
from qwen_sft.probing.run import Asked, Server, probe
from qwen_sft.probing.summary import document, exit_code, summary
from qwen_sft.probing.task import CHOICES, TOOLS, tasks
from qwen_sft.probing.wire import RETRIED, Client, Quote, Reply
from qwen_sft.tokenizing.tokenizer import load_tokenizer
from qwen_sft.tokenizing.vocabulary import tokenizer_json
from tests.chat_server import PARSERS, written

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "schemas" / "probe.schema.json").read_text(encoding="utf-8"))
KEY = "sk-0123456789abcdef"
URL = "http://localhost:8000/v1"
QUOTE = Quote(None)


class Ran(BareRan):
    @property
    def document(self) -> dict[str, Any]:
        made = json.loads(self.out)
        jsonschema.validate(made, SCHEMA)
        return made

    @property
    def faults(self) -> dict[str, int]:
        """How often each kind was found; those of streams are marked."""
        return {("~" if one["in_stream"] else "") + one["kind"]: one["n"] for one in self.document["faults"]}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of the scripted server."""
    with subprocess.Popen([sys.executable, "-m", "tests.chat_server"], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.terminate()


@pytest.fixture
def run(run: Callable[..., BareRan], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs `qwen-sft probe` in this process, in an empty folder, without the user's key and proxies."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("no_proxy", "*")

    return lambda *arguments: Ran(*run("probe", *arguments))


@pytest.fixture
def ask(run: Any, port: int) -> Any:
    """Probes the scripted server under some words.

    Five conversations are these: auto, required, auto with two calls, named, auto.
    """

    def asking(words: str, *arguments: str, n: int = 5) -> Ran:
        url = f"http://127.0.0.1:{port}/{words}/v1"
        return run("--base-url", url, "--n", str(n), "--output-format", "json", *arguments)

    return asking


# -- all well ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["hermes", "coder", "thinks+reads-reasoning", "coder+thinks+reads-reasoning"])
@pytest.mark.parametrize("stream", [(), ("--stream",)], ids=["whole", "stream"])
def test_server_that_reads_calls_is_well(ask: Any, words: str, stream: tuple[str, ...]) -> None:
    ran = ask(words, *stream, n=20)
    made = ran.document
    assert (ran.code, ran.err, made["faults"], made["notes"]) == (0, "", [], [])
    assert (made["n_conversations"], made["n_well"]) == (20, 20)
    assert made["extracted"] == {
        "auto": {"n": 10, "of": 10},
        "required": {"n": 5, "of": 5},
        "named": {"n": 5, "of": 5},
    }
    assert all(each["accepted"] and each["told"] for each in made["conversations"])


def test_document_of_a_probe_is_this(ask: Any, port: int) -> None:
    assert ask("vllm+one-call", n=3).document == {
        "qwen_sft": __version__,
        "base_url": f"http://127.0.0.1:{port}/vllm+one-call/v1",
        "model": "scripted",
        "server": "vllm",
        "exit_code": 1,
        "n_conversations": 3,
        "n_well": 2,
        "extracted": {"auto": {"n": 1, "of": 2}, "required": {"n": 1, "of": 1}},
        "faults": [
            {
                "kind": "missing-call",
                "blame": "model",
                "n": 1,
                "first": 3,
                "in_stream": False,
                "says": "2 calls were asked for in one turn, and 1 came",
                "fix": "ask for one call at a time, or train on parallel calls",
            }
        ],
        "prompts": [],
        "conversations": [
            {
                "number": number,
                "task": task,
                "tool_choice": choice,
                "answered": True,
                "extracted": not faults,
                "accepted": True,
                "told": True,
                "faults": faults,
            }
            for number, task, choice, faults in [
                (1, "get_weather", "auto", []),
                (2, "book_room", "required", []),
                (3, "get_weather twice", "auto", ["missing-call"]),
            ]
        ],
        "notes": [],
    }


def test_summary_is_for_people(run: Any, port: int) -> None:
    url = f"http://127.0.0.1:{port}/coder+parser-hermes+vllm/v1"
    ran = run("--base-url", url, "--n", "5", "--against", "qwen3_coder")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.splitlines() == [
        f"{url} serves 'scripted' (vllm)",
        "5 conversations: 2 without a fault",
        "  calls extracted                2 of 5: auto 0 of 3, required 1 of 1, named 1 of 1",
        "  calls and results taken back   2 of 2",
        "  answers with the tools' values 2 of 2",
        "  prompts as ours                0 of 3",
        "error prompt-differs: 3 prompts",
        "    first turn: the server's prompt has 619 tokens, ours 825",
        "    fix: serve with the chat template, tokenizer and options that the training set was built with; compare "
        "them with: qwen-sft template check",
        "error wrong-parser: in 3 conversations, first in 1 (get_weather, auto)",
        r"    the text holds '<function=' and tool_calls is empty: '<function=get_weather>\n<parameter=city>\nOslo\n"
        r"</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>'",
        "    fix: serve with --enable-auto-tool-choice --tool-call-parser qwen3_coder",
    ]


# -- planted faults ----------------------------------------------------------------------------------------------------

VLLM_CODER = "--enable-auto-tool-choice --tool-call-parser qwen3_coder"
VLLM_HERMES = "--enable-auto-tool-choice --tool-call-parser hermes"

PLANTED: dict[str, tuple[dict[str, int], str]] = {
    "vllm+no-auto": (
        {"no-tool-parser": 5},
        "serve with --enable-auto-tool-choice --tool-call-parser hermes or qwen3_coder, as the model",
    ),
    "sglang+no-auto": ({"no-tool-parser": 5}, "serve with --tool-call-parser qwen or qwen3_coder, as the model"),
    "no-auto": (
        {"no-tool-parser": 5},
        f"serve with vLLM: {VLLM_HERMES} or qwen3_coder; SGLang: --tool-call-parser qwen",
    ),
    "blank": ({"no-call": 3, "tool-choice-ignored": 2}, "do not rely on tool_choice"),
    "vllm+coder+parser-hermes": ({"wrong-parser": 3}, f"serve with {VLLM_CODER}"),
    "vllm+coder+parser-none": ({"wrong-parser": 3}, f"serve with {VLLM_CODER}"),
    "sglang+coder+parser-none": ({"wrong-parser": 3}, "serve with --tool-call-parser qwen3_coder"),
    "sglang+parser-none": ({"wrong-parser": 3}, "serve with --tool-call-parser qwen"),
    "parser-none": ({"wrong-parser": 3}, f"serve with vLLM: {VLLM_HERMES}; SGLang: --tool-call-parser qwen"),
    "vllm+hermes+parser-coder": ({"call-lost": 3}, f"serve with {VLLM_HERMES}"),
    "vllm+thinks+reads-reasoning+parser-none": ({"wrong-parser": 3}, f"serve with {VLLM_HERMES}"),
    "sglang+json-call": ({"call-as-json": 5}, "serve with --tool-call-parser qwen or qwen3_coder"),
    "thinks": ({"reasoning-in-content": 5}, "serve with --reasoning-parser qwen3"),
    "reads-reasoning": ({"answer-in-reasoning": 5}, "serve without --reasoning-parser"),
    "thinks+call-in-thought+reads-reasoning+r1": (
        {"call-in-reasoning": 3},
        "the model must end its reasoning before it calls",
    ),
    "leaks": ({"leaked-text": 5}, "look at the server's tool-call parser"),
    "ids-dropped": ({"id-missing": 5}, "without an id no result can be given back"),
    "ids-null": ({"id-missing": 5}, "without an id"),
    "ids-same": ({"id-repeated": 1}, "results are matched to calls by id"),
    "ids-fixed": ({"id-repeated": 1}, "results are matched to calls by id"),
    "no-type": ({"kind-missing": 5}, "clients look for type 'function'"),
    "arguments-dict": ({"arguments-not-text": 5}, "the API wants a JSON text there"),
    "arguments-twice": ({"arguments-encoded-twice": 5}, "the server encodes what is a JSON text already"),
    "arguments-list": ({"arguments-not-object": 5}, "use a newer version"),
    "arguments-cut": ({"arguments-not-json": 5}, "use a newer version"),
    "strings": ({"arguments-mistyped": 5}, "a parser must read values by the tool's schema"),
    "finish-none": ({"finish-reason": 3}, "agents that look at finish_reason stop here"),
    "finish-stop": ({"finish-reason": 3}, "agents that look at finish_reason stop here"),
    "no-call+ignores-choice": ({"tool-choice-ignored": 2, "no-call": 3}, "do not rely on tool_choice"),
    "refuses-results": ({"result-refused": 5}, "the server must take back the calls that it made"),
    "refuses-all": ({"request-refused": 5}, "the server's words say what it does not take"),
    "html-late": ({"no-answer": 5}, "--base-url must be that of an OpenAI-compatible API"),
    "crashes-late": ({"server-error": 5}, "look into the server's log"),
    "one-call": ({"missing-call": 1}, "ask for one call at a time"),
    "three-calls": ({"extra-call": 5}, "the model must learn when to call"),
    "wrong-values": ({"wrong-call": 5}, "the model must learn to copy"),
    "wrong-tool": ({"wrong-call": 4, "tool-choice-ignored": 1}, "do not rely on tool_choice"),
    "broken-call": ({"broken-call": 3}, "no parser that we know reads it"),
    "no-value": ({"no-value": 5}, "the model must learn to answer from results"),
    "calls-again": ({"called-again": 5}, "the model must learn to answer when"),
    "cut": ({"cut-off": 5}, "allow more with --max-tokens"),
}


@pytest.mark.parametrize("words", PLANTED)
def test_planted_fault_gets_its_own_diagnosis_and_no_other(ask: Any, words: str) -> None:
    faults, fix = PLANTED[words]
    ran = ask(words, "--retries", "0")
    assert (ran.faults, ran.err) == (faults, "")
    assert ran.document["faults"][0]["fix"].startswith(fix)
    assert ran.code == (3 if words == "cut" else 1)
    assert {one["kind"]: one["blame"] for one in ran.document["faults"]} == {
        kind: "server" if kind in SERVER else "model" for kind in faults
    }


STREAMED: dict[str, dict[str, int]] = {
    "stream-loses": {"~stream-broken-arguments": 5},
    "stream-no-index": {"~stream-no-index": 5},
    "stream-repeats-name": {"~stream-repeats": 5},
    "stream-ignored": {"~stream-ignored": 5},
    "stream-cut": {"~stream-cut": 5},
    "stream-error": {"~stream-error": 5},
    "stream-one-call": {"~stream-differs": 1},
    "arguments-cut": {"arguments-not-json": 5},
    "coder+parser-none": {"wrong-parser": 3},
}


@pytest.mark.parametrize("words", STREAMED)
def test_fault_of_a_stream_is_told_apart_from_one_of_the_answer(ask: Any, words: str) -> None:
    ran = ask(words, "--stream", "--retries", "0")
    assert (ran.code, ran.faults, ran.err) == (1, STREAMED[words], "")
    if words.startswith("stream"):
        assert ask(words).code == 0


JSON_CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>'
XML_CALL = (
    "<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n"
    "</tool_call>"
)
SAYS: dict[str, str] = {
    "vllm+no-auto": 'as it was started it takes no tools: it answers 400: \'"auto" tool choice'
    " requires --enable-auto-tool-choice and --tool-call-parser to be set'",
    "blank": "no call came: what the model generated shows nothing (42 tokens were generated"
    " and nothing came back, as where a parser drops it)",
    "vllm+coder+parser-hermes": f"the text holds '<function=' and tool_calls is empty: {XML_CALL!r}",
    "sglang+parser-none": f"the text holds '<tool_call>{{' and tool_calls is empty: {JSON_CALL!r}",
    "vllm+hermes+parser-coder": "24 tokens were generated and nothing came back, as where a parser drops it;"
    " with tool_choice 'none' the text holds '<tool_call>{'",
    "sglang+json-call": 'the calls came as JSON in the content, and tool_calls is empty: \'[{"name":'
    ' "get_weather", "parameters": {"city": "Oslo", "days": 2}}]\'',
    "thinks": "the content holds '</think>': '<think>\\nThe user wants a tool. I call it.\\n</think>\\n\\n'",
    "reads-reasoning": "the whole answer came as reasoning: 'Here you are: **WX 8919**.'",
    "thinks+call-in-thought+reads-reasoning+r1": f"the call stands in the reasoning: {JSON_CALL!r}",
    "leaks": f"calls came, and the content still holds '<tool_call>': {JSON_CALL!r}",
    "ids-dropped": "a call has no id (it is None)",
    "ids-fixed": "a later call of the same conversation got the id of an earlier one, 'call_0'",
    "no-type": "the type of a call is None",
    "arguments-dict": "function.arguments is an object, and no JSON text: {'city': 'Oslo', 'days': 2}",
    "arguments-twice": 'function.arguments is JSON within JSON: \'"{\\\\"city\\\\": \\\\"Oslo\\\\", \\\\"days\\\\":'
    " 2}\"'",
    "arguments-list": 'function.arguments is JSON, and no object: \'[{"city": "Oslo", "days": 2}]\'',
    "arguments-cut": 'function.arguments is no JSON: \'{"city": "Oslo", "days": 2\'',
    "strings": 'the values are right and their types are not: {"city": "Oslo", "days": 2} was'
    " asked for, {'city': 'Oslo', 'days': '2'} came",
    "finish-none": "calls came with finish_reason None",
    "finish-stop": "calls came with finish_reason 'stop'",
    "no-call+ignores-choice": "the request demands some tool and no call came: the model said 'I cannot help"
    " with that.\\x1b[2J'",
    "refuses-results": "calls and results were sent back: it answers 422: 'Tool call id must be 9 letters'",
    "refuses-all": "it answers 400: 'no tools here'",
    "html-late": "what comes back is no chat completion (text/html: '<html>502 Bad Gateway</html>')",
    "crashes-late": "it answers 500: 'CUDA error'",
    "one-call": "2 calls were asked for in one turn, and 1 came",
    "three-calls": "1 call was asked for, and 3 came",
    "wrong-values": 'get_weather was asked for with {"city": "Oslo", "days": 2}, and called with'
    " {'city': 'Atlantis', 'days': 2}",
    "wrong-tool": "convert_amount was asked for, and 'delete_all' was called",
    "broken-call": 'the model tried a call that no parser reads: \'<tool_call>\\n{"name":'
    ' "get_weather", "arguments" {"city": "Oslo", "days": 2}\\n</tool_call>\'',
    "no-value": "the answer lacks WX-8919, which the tool gave back: the model said 'I cannot help with that.\\x1b[2J'",
    "calls-again": "the model called 'get_weather' again where the results were to be told",
    "cut": "the answer was cut off after 24 tokens, before it was complete",
    "~stream-loses": 'function.arguments is no JSON: \'{"citOslo", "days": 2}\'',
    "~stream-no-index": "a piece of a call does not say which call it belongs to",
    "~stream-repeats-name": "a call's name comes in more than one piece, which clients join to"
    " 'get_weatherget_weather'",
    "~stream-ignored": "a stream was asked for, and a whole answer came",
    "~stream-cut": "the stream ends without a finish_reason",
    "~stream-error": "the stream ends in an error: 'CUDA out of memory'",
    "~stream-one-call": "the whole answer was right, and of the stream: 2 calls were asked for in one turn, and 1 came",
}
"""What is said of the first fault; `~` where each request is sent as a stream too."""


@pytest.mark.parametrize("words", SAYS)
def test_diagnosis_says_what_was_found(ask: Any, words: str) -> None:
    stream = ("--stream",) if words.startswith("~") else ()
    ran = ask(words.removeprefix("~"), "--retries", "0", *stream)
    assert ran.document["faults"][0]["says"] == SAYS[words]


# -- prompts -----------------------------------------------------------------------------------------------------------

TURNS = ("first turn", "behind two results", "later turn")


def compared(ran: Ran) -> list[tuple[bool | None, str | None]]:
    made = ran.document["prompts"]
    assert tuple(one["name"] for one in made) == TURNS
    return [(one["same"], one["by"]) for one in made]


@pytest.mark.parametrize(
    ("words", "by"),
    [
        ("echoes", "ids"),
        ("echoes-sglang", "ids"),
        ("tokenizes", "ids"),
        ("hermes", "length"),
        ("strict", "length"),
        ("strict+tokenizes", "ids"),
    ],
)
def test_prompts_are_compared_as_well_as_the_server_lets_us(ask: Any, words: str, by: str) -> None:
    ran = ask(words, "--against", "qwen3", n=1)
    assert (ran.code, compared(ran), ran.document["notes"]) == (0, [(True, by)] * 3, [])


def test_prompt_that_differs_is_shown_from_where_it_does(ask: Any) -> None:
    ran = ask("echoes+other-system", "--against", "qwen3", n=1)
    assert (ran.code, compared(ran)) == (1, [(False, "ids")] * 3)
    assert ran.faults == {"prompt-differs": 3}
    (fault,) = ran.document["faults"]
    assert fault["says"].startswith("first turn: at token 4 they part: ours ' brief.\\n\\n# Tools")
    assert "the server's ' very brief.\\n\\n# Tools" in fault["says"]
    ran = ask("drops-results", "--against", "qwen3", n=1)
    assert compared(ran) == [(True, "length"), (False, "length"), (False, "length")]
    assert re.fullmatch(
        r"behind two results: the server's prompt has \d+ tokens, ours \d+", ran.document["faults"][0]["says"]
    )


def test_options_of_the_template_are_sent_and_compared(ask: Any) -> None:
    ran = ask("echoes", "--against", "qwen3", "--chat-template-kwargs", '{"enable_thinking": false}', n=1)
    assert (ran.code, compared(ran)) == (0, [(True, "ids")] * 3)


def test_prompts_that_cannot_be_compared_are_told(ask: Any) -> None:
    ran = ask("strict+no-usage", "--against", "qwen3", n=1)
    assert (ran.code, compared(ran), ran.document["faults"]) == (0, [(None, None)] * 3, [])
    (note,) = ran.document["notes"]
    assert note.startswith(
        "the prompts were not compared: the server tells neither the ids of its prompt nor how many they are "
        "(422: \"Unexpected fields in the request: ['max_tokens', "
    )


def test_flags_are_those_of_the_model_that_is_compared_with(ask: Any) -> None:
    for against, flags in (("qwen3", VLLM_HERMES), ("qwen3_coder", VLLM_CODER)):
        faults = ask("vllm+no-auto", "--against", against, n=1).document["faults"]
        assert [one["fix"] for one in faults if one["kind"] == "no-tool-parser"] == [f"serve with {flags}"]


# -- what stops it, and what does not ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            "html",
            "/models is no list of models (text/html: '<!DOCTYPE html><title>Sign in</title>'); --base-url must be",
        ),
        ("chat-html", " gave no answer: what comes back is no chat completion (text/html: '<html>502 Bad Gateway"),
        (
            "locked",
            " answers 401: it wants a key: put it into $OPENAI_API_KEY, or name another variable with --api-key-env",
        ),
        ("forbidden", " answers 403: it wants a key: "),
        (
            "redirects",
            " answers 307 to /redirects/v1/models, which points to 'https://elsewhere.example/v1/models'; name",
        ),
        ("no-http", " answers with what is no HTTP; is it another kind of server, or https:?"),
        ("gone", " closed the connection without an answer"),
        ("breaks-off", " broke off in the middle of an answer"),
        ("crashes", " gave no answer: it answers 500: 'CUDA error'"),
        ("hangs", " did not answer within 0.4 s; wait longer with --timeout"),
        ("trickles", " did not answer within 0.4 s; wait longer with --timeout"),
        ("two-models", "which model is it? "),
    ],
)
def test_server_that_cannot_be_asked_stops_with_the_reason(ask: Any, words: str, says: str) -> None:
    ran = ask(words, "--retries", "0", "--timeout", "0.4" if words in ("hangs", "trickles") else "20")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("qwen-sft: ") and ran.err.count("\n") == 1
    assert says in ran.err


def test_model_that_is_not_served_is_told_with_those_that_are(ask: Any) -> None:
    ran = ask("two-models", "--model", "mine")
    assert (ran.code, ran.out) == (2, "")
    assert re.fullmatch(
        r"qwen-sft: no model 'mine' at http://127\.0\.0\.1:\d+/two-models/v1; it serves 'scripted', 'other' "
        r"\(it says 'The model `mine` does not exist\.'\)\n",
        ran.err,
    )


def test_url_without_its_version_is_told(run: Any, port: int) -> None:
    ran = run("--base-url", f"http://127.0.0.1:{port}/hermes", "--model", "scripted")
    assert (ran.code, ran.out) == (2, "")
    assert "/hermes/chat/completions answers 404 (it says 'Not Found'); --base-url must be that of an" in ran.err
    ran = run("--base-url", f"http://127.0.0.1:{port}/hermes")
    assert (ran.code, ran.out) == (2, "")
    assert "/hermes/models names no model: name one with --model, and see that the URL is that of the API" in ran.err


def test_nobody_listens(run: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
    ran = run("--base-url", f"http://127.0.0.1:{number}/v1", "--retries", "0")
    says = f"nothing listens at 127.0.0.1:{number} (connection refused); is the server up, is the port right?"
    assert (ran.code, ran.out, ran.err) == (2, "", f"qwen-sft: {says}\n")


def test_progress_is_for_terminals_and_stdout_stays_clean(port: int, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    url = f"http://127.0.0.1:{port}/hermes/v1"
    command = [Path(sys.executable).parent / "qwen-sft", "probe", "--base-url", url, "--n", "2"]
    environment = {**os.environ, "no_proxy": "*", "TERM": "xterm"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=tmp_path, env=environment)
    os.close(theirs)
    assert "conversations" in os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert (done.returncode, done.stdout.splitlines()[1]) == (0, "2 conversations: 2 without a fault")


def test_host_that_does_not_exist(run: Any) -> None:
    ran = run("--base-url", "http://no-such-host.invalid/v1", "--retries", "0")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("qwen-sft: no host has the name 'no-such-host.invalid' (")


def test_server_without_tls_is_asked_by_https(run: Any, port: int) -> None:
    ran = run("--base-url", f"https://127.0.0.1:{port}/hermes/v1", "--retries", "0")
    assert (ran.code, ran.out) == (2, "")
    assert re.search(r"127\.0\.0\.1:\d+ speaks no TLS that we know \(\w+\); should the URL begin with http:\?", ran.err)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_certificate_that_nobody_signed(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    files = [tmp_path / "key.pem", tmp_path / "cert.pem"]
    made = [*command.split(), "-keyout", str(files[0]), "-out", str(files[1])]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])

    class Models(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"data": []}')

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Models)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://localhost:{server.server_port}/v1"
    ran = run("--base-url", url, "--retries", "0")
    assert (ran.code, ran.out) == (2, "")
    assert "is not trusted (self-signed certificate" in ran.err and "$SSL_CERT_FILE" in ran.err
    monkeypatch.setenv("SSL_CERT_FILE", str(files[1]))
    assert "/models names no model: name one with --model" in run("--base-url", url, "--retries", "0").err
    server.shutdown()
    server.server_close()


def test_busy_server_is_asked_again(ask: Any) -> None:
    ran = ask("busy", n=3)
    assert (ran.code, ran.document["n_well"]) == (0, 3)
    ran = ask("busy+again", "--retries", "1", n=2)
    assert (ran.code, ran.faults) == (1, {"server-error": 2})


def test_server_that_starts_late_is_waited_for() -> None:
    waits: list[float] = []
    client = Client("http://127.0.0.1:9/v1", retries=3, sleep=waits.append)
    with pytest.raises(Exception, match="nothing listens"):
        client.get("/models")
    assert waits == [0.5, 1.0, 2.0]


def test_server_says_how_long_to_wait_and_is_believed_within_limits(port: int) -> None:
    body = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]}
    for words, waited in (("busy", [0.0, 0.0]), ("busy+waits-long", [30.0, 30.0]), ("busy+waits-odd", [0.5, 1.0])):
        waits: list[float] = []
        client = Client(f"http://127.0.0.1:{port}/coder+{words}/v1", retries=3, sleep=waits.append)
        assert client.post("/chat/completions", body).status == 200
        assert waits == waited


def test_server_that_hangs_is_given_up_soon(ask: Any) -> None:
    start = time.monotonic()
    ran = ask("hermes+slow-chat", "--timeout", "0.5", "--tool-choice", "auto", n=9)
    assert (ran.code, ran.out) == (2, "")
    assert "gave no answer: 127.0.0.1:" in ran.err and "did not answer within 0.5 s" in ran.err
    assert time.monotonic() - start < 10


def test_server_that_stops_answering_is_a_fault_and_what_was_not_begun_is_told(ask: Any) -> None:
    ran = ask("hermes+stops", "--timeout", "1", "--tool-choice", "auto", n=9)
    assert (ran.code, ran.faults) == (1, {"timed-out": 2})
    assert ran.document["n_conversations"] == 4
    assert ran.document["notes"] == ["5 of 9 conversations were not begun: 2 in a row got no answer"]


def test_choice_that_is_not_taken_is_a_note_unless_it_was_asked_for(ask: Any) -> None:
    ran = ask("refuses-required")
    assert (ran.code, ran.document["faults"]) == (0, [])
    assert ran.document["extracted"] == {"auto": {"n": 3, "of": 3}, "named": {"n": 1, "of": 1}}
    says = "it does not take tool_choice 'required': it answers 400: \"tool_choice 'required' is not supported\""
    assert (ran.document["n_conversations"], ran.document["notes"]) == (4, [f"1 conversation: {says}"])
    ran = ask("refuses-required", "--tool-choice", "required,auto")
    assert (ran.code, ran.faults) == (1, {"tool-choice-refused": 2})


def test_model_that_never_calls_leaves_nothing_checked(ask: Any, run: Any, port: int) -> None:
    ran = ask("no-call", "--tool-choice", "auto")
    assert (ran.code, ran.faults) == (3, {"no-call": 5})
    assert ran.document["faults"][0]["says"] == r"the model made no call: it said 'I cannot help with that.\x1b[2J'"
    ran = run("--base-url", f"http://127.0.0.1:{port}/no-call/v1", "--tool-choice", "auto")
    assert ran.code == 3
    assert ran.out.splitlines()[-1] == (
        "nothing was checked: no answer made a call, so nothing is known of how the server reads them"
    )


def test_share_of_conversations_may_fail_by_the_model_and_none_by_the_server(ask: Any) -> None:
    assert ask("one-call").document["n_well"] == 4
    assert [ask("one-call", "--min-rate", rate).code for rate in ("0.81", "0.8")] == [1, 0]
    assert ask("coder+parser-hermes", "--min-rate", "0").code == 1


def test_lost_call_is_looked_for_without_the_parser(ask: Any) -> None:
    says = "tokens were generated and nothing came back, as where a parser drops it"
    (fault,) = ask("hermes+parser-coder", n=1).document["faults"]
    assert fault["says"] == f"24 {says}; with tool_choice 'none' the text holds '<tool_call>{{'"
    (fault,) = ask("hermes+parser-coder+refuses-none", n=1).document["faults"]
    assert (fault["kind"], fault["says"]) == ("call-lost", f"24 {says}")
    ran = ask("blank", "--tool-choice", "auto", n=1)
    (fault,) = ran.document["faults"]
    assert (ran.code, fault["kind"]) == (3, "no-call")
    assert fault["says"] == f"no call came: what the model generated shows nothing (42 {says})"


# -- keys and hostile text ---------------------------------------------------------------------------------------------


def test_key_is_sent_and_never_printed(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-right\n")
    assert ask("locked", n=1).code == 0
    for name in ("OPENAI_API_KEY", "MINE"):
        monkeypatch.setenv(name, KEY)
        ran = ask("locked", "--api-key-env", name)
        assert (ran.code, ran.out) == (2, "")
        said = "'Incorrect API key provided: [the key].'"
        assert ran.err.endswith(f"/locked/v1 answers 401: it refuses the key in ${name} (it says {said})\n")


@pytest.mark.parametrize("output", ["full", "json"])
def test_key_that_a_server_echoes_is_not_printed(ask: Any, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ran = ask("echoes-key", "--against", "qwen3", "--output-format", output)
    assert ran.code == 1 and "[the key]" in ran.out
    assert not [n for n in range(4, len(KEY)) if KEY[: n + 1] in ran.out + ran.err]


@pytest.mark.parametrize("key", ["sk-with space", "sk-\x07bell", "sk-ключ"])
def test_key_that_http_cannot_carry_is_refused_and_not_printed(
    ask: Any, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("MINE", key)
    ran = ask("hermes", "--api-key-env", "MINE")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "qwen-sft: the key in $MINE holds characters that HTTP cannot carry: it must be plain ASCII without spaces\n"
    )


def test_key_is_hidden_in_whatever_is_quoted() -> None:
    quote = Quote('a"b\\c')
    assert quote({'xa"b\\cx': ['a"b\\c', 1]}, 200) == "{'x[the key]x': ['[the key]', 1]}"
    assert quote("before " + 'a"b\\c' * 40, 30) == "'before [the key][the key][the '…"
    assert Quote(None)("plain") == "'plain'"


def test_hostile_text_of_a_server_is_escaped(run: Any, port: int) -> None:
    ran = run("--base-url", f"http://127.0.0.1:{port}/no-call/v1", "--n", "1", "--tool-choice", "auto")
    assert "\x1b" not in ran.out and r"\x1b[2J" in ran.out


# -- what is asked for -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--base-url", "localhost:8000"), "--base-url is 'localhost:8000', no URL that can be asked; write it as"),
        (("--base-url", "ftp://host/v1"), "--base-url is 'ftp://host/v1', no URL that can be asked"),
        (("--base-url", "http://me:secret@host/v1"), "--base-url holds a user or a password; put a key into"),
        (("--base-url", "http://host/v1?a=1"), "--base-url is 'http://host/v1?a=1', which ends in a query"),
        (("--base-url", "http://host:x/v1"), "--base-url is no URL ("),
        (("--base-url", "http://h/v1", "--tool-choice", "auto,none"), "--tool-choice is 'auto,none'; it can be auto,"),
        (("--base-url", "http://h/v1", "--tool-choice", ""), "--tool-choice is ''; it can be auto, required, named"),
        (("--base-url", "http://h/v1", "--api-key-env", "NOBODY"), "$NOBODY is not set, and --api-key-env names it"),
        (("--base-url", "http://h/v1", "--output-format", "xml"), "no output format 'xml'; it can be full, json"),
        (("--base-url", "http://h/v1", "--against", "qwen9"), "no model 'qwen9': it is no folder, no hub id"),
    ],
)
def test_what_does_not_exist_is_told_before_anybody_is_asked(run: Any, arguments: tuple[str, ...], says: str) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"qwen-sft: {says}")


def test_proxy_of_the_environment_is_used(run: Any, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    ran = run("--base-url", f"http://127.0.0.1:{port}/hermes/v1", "--retries", "0")
    assert (ran.code, ran.out) == (2, "")
    monkeypatch.setenv("http_proxy", "http://me:pw@127.0.0.1:9")
    ran = run("--base-url", "http://host/v1")
    assert ran.err == (
        "qwen-sft: the proxy in $http_proxy is not of a kind that can be asked: it must be http://HOST:PORT, without a "
        "user; or put host into $no_proxy\n"
    )


def test_redirect_is_not_followed_with_the_key(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert ask("redirects", "--retries", "0").code == 2


# -- judging -----------------------------------------------------------------------------------------------------------


def test_tasks_are_always_the_same_and_each_value_comes_once() -> None:
    made = list(tasks(60))
    assert made == list(tasks(60))
    values = [value for task, _ in made for value in task.values]
    assert len(set(values)) == len(values)
    assert [choice for _, choice in tasks(8)] == ["auto", "required", "auto", "named"] * 2
    assert [choice for _, choice in tasks(3, ("required", "named"))] == ["required", "named", "required"]
    assert {task.name for task, _ in tasks(20)} == {
        *(tool["function"]["name"] for tool in TOOLS),
        "get_weather twice",
    }
    assert all(len(task.calls) == 1 for task, choice in made if choice == "named")


def answer(content: str = "", **more: Any) -> Answer:
    made: dict[str, Any] = {"reasoning": "", "reasoning_name": None, "calls": (), "finish": "stop"}
    return Answer(content=content, **{**made, "n_tokens": None, "n_prompt_tokens": None, **more})


def test_value_is_found_however_it_is_written() -> None:
    for said in ("It is WX-4821.", "**wx 4821**", "id: WX\u20114821", "`WX_4821`"):
        assert judge_end(answer(said), ["WX-4821"], QUOTE) == [], said
    (fault,) = judge_end(answer("It is WX-4812."), ["WX-4821"], QUOTE)
    assert fault == Fault(
        "no-value", "the answer lacks WX-4821, which the tool gave back: the model said 'It is WX-4812.'"
    )


def test_calls_may_come_in_any_order_and_numbers_in_any_spelling() -> None:
    task = next(task for task, _ in tasks(3) if len(task.calls) == 2)
    calls = [Call(str(k), "function", name, json.dumps(made)) for k, (name, made) in enumerate(task.calls)]
    assert judge_calls(answer(calls=tuple(calls[::-1]), finish="tool_calls"), task, "auto", QUOTE) == []
    spelled = [Call(one.id, one.kind, one.name, re.sub(r"(\d)}", r"\1.0}", one.arguments)) for one in calls]
    assert spelled != calls
    assert judge_calls(answer(calls=tuple(spelled), finish="tool_calls"), task, "auto", QUOTE) == []


@pytest.mark.parametrize("wire", PARSERS)
def test_call_in_the_text_of_the_last_answer_is_the_parsers_fault(wire: str) -> None:
    text = written([("get_weather", {"city": "Oslo", "days": 2})], wire)
    (fault,) = judge_end(answer(text), ["WX-1"], QUOTE)
    assert (fault.kind, fault.wire) == ("wrong-parser", "hermes" if wire == "hermes" else "qwen3_coder")


def test_words_about_calls_are_no_call() -> None:
    task, _ = next(tasks(1))
    (fault,) = judge_calls(answer("Write <tool_call> first."), task, "auto", QUOTE)
    assert fault.kind == "broken-call"
    (fault,) = judge_calls(answer('{"city": "Oslo"}'), task, "auto", QUOTE)
    assert fault.kind == "no-call"


def test_event_that_is_no_json_is_a_fault() -> None:
    said = streamed_answer(Reply(200, "text/event-stream", "", "data: {oops}\n\n"), QUOTE)
    assert said == Fault("no-answer", "an event of the stream is no JSON", in_stream=True)
    said = streamed_answer(Reply(200, "text/html", "", "<html>"), QUOTE)
    assert said == Fault("no-answer", "what comes back is no stream of events (text/html: '<html>')", in_stream=True)


FIELDS = "content reasoning tool_calls id type index function name arguments text get_weather"
NAMES = st.sampled_from(FIELDS.split())
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | NAMES
VALUES = st.recursive(
    SCALARS | st.sampled_from(['{"a": 1}', "[", "1"]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(NAMES, each, max_size=4),
    max_leaves=9,
)
FUNCTIONS = st.fixed_dictionaries({"name": VALUES, "arguments": VALUES})
CALLS = st.fixed_dictionaries({"function": FUNCTIONS}, optional={"id": VALUES, "index": VALUES})


@settings(max_examples=100, deadline=None)
@given(
    calls=st.lists(CALLS | VALUES, max_size=3) | VALUES,
    content=VALUES,
    finish=VALUES,
    usage=VALUES,
    stream=st.booleans(),
)
def test_answers_of_any_shape_are_judged_and_sent_back_and_never_crash(
    calls: Any, content: Any, finish: Any, usage: Any, stream: bool
) -> None:
    """A server whose every answer is this one: each conversation comes to an end with a fault."""
    said = {"content": content, "tool_calls": calls, "reasoning_content": content}
    body = {"choices": [{"message": said, "finish_reason": finish}], "usage": usage}
    chunk = {"choices": [{"delta": said, "finish_reason": finish}], "usage": usage}
    text, whole = f"data: {json.dumps(chunk)}\n\n", json.dumps(body)

    class Same(Client):
        def post(self, path: str, body: Any) -> Reply:
            assert (path, json.loads(json.dumps(body))["model"]) == ("/chat/completions", "m")
            if body.get("stream"):
                return Reply(200, "text/event-stream", "", text)
            return Reply(200, "application/json", "", whole)

    outcome = probe(Same("http://host/v1"), Server(None, "", ()), Asked("m", 2, CHOICES, stream=stream))
    assert all(each.faults for each in outcome.conversations)
    made = document(outcome, "http://host/v1", exit_code(outcome, 1.0))
    jsonschema.validate(json.loads(json.dumps(made)), SCHEMA)
    assert list(summary(outcome, "http://host/v1"))


def test_answer_that_nests_too_deep_is_a_fault() -> None:
    deep = "[" * 100_000
    made = whole_answer(Reply(200, "application/json", "", deep), QUOTE)
    assert isinstance(made, Fault) and made.kind == "no-answer"
    made = streamed_answer(Reply(200, "text/event-stream", "", f"data: {deep}\n\n"), QUOTE)
    assert isinstance(made, Fault) and made.kind == "no-answer"
    nested = json.dumps({"choices": [{"message": {"tool_calls": [{"function": {"arguments": 1}}]}}]})
    nested = nested.replace('"arguments": 1', '"arguments": ' + "[" * 500 + "]" * 500)
    made = whole_answer(Reply(200, "application/json", "", nested), QUOTE)
    assert isinstance(made, Answer)
    task, choice = next(tasks(1))
    assert judge_calls(made, task, choice, QUOTE)[-1].kind == "finish-reason"


# -- the guide ---------------------------------------------------------------------------------------------------------

GUIDE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def assert_shows(name: str, words: list[str], port: int, folder: Path) -> None:
    """Holds the commands of a text that probe a server to what they print of the scripted one under these words."""
    blocks = [each for each in blocks_of((ROOT / name).read_text(encoding="utf-8")) if "-sft probe" in each.text]
    shown = [pair for block in blocks for pair in commands(block, name)]
    for (command, output), word in zip(shown, words, strict=True):
        url = f"http://127.0.0.1:{port}/{word}/v1"
        printed = execute(f"no_proxy='*' {command.replace(URL, url)}", folder).stdout
        assert matches(output.replace(URL, url), printed), printed


def test_guide_shows_what_happens(port: int, tmp_path: Path) -> None:
    assert_shows("docs/serving.md", ["vllm+echoes", "vllm+coder+parser-hermes"], port, tmp_path)


def test_readme_shows_what_happens(port: int, tmp_path: Path) -> None:
    assert_shows("README.md", ["vllm+coder+parser-hermes"], port, tmp_path)


def test_guide_names_every_fault_and_whose_it_is() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (server|model)( ~)? \| .+ \|$", GUIDE, flags=re.MULTILINE)
    blamed = {**dict.fromkeys(SERVER, "server"), **dict.fromkeys(MODEL, "model")}
    assert {kind: whose for kind, whose, _ in rows} == blamed
    assert len(rows) == len(SERVER) + len(MODEL)
    assert [kind for kind, _, mark in rows if mark] == [kind for kind in SERVER if kind.startswith("stream-")]
    listed = re.search(r"Behind ([0-9, and]+) and a connection", " ".join(GUIDE.split()))
    assert listed is not None
    assert {int(status) for status in re.findall(r"\d+", listed[1])} == RETRIED


# -- a real server -----------------------------------------------------------------------------------------------------

TEMPLATE = """\
{%- if tools %}{{- '<|im_start|>system\\n' }}
{%- for tool in tools %}{{- tool|tojson + '\\n' }}{% endfor %}{{- '<|im_end|>\\n' }}{% endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments|tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}
"""
WRITES_A_MODEL = """\
import json, sys, torch
from transformers import Qwen3Config, Qwen3ForCausalLM
folder, chain = sys.argv[1], json.loads(sys.argv[2])
sizes = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1)
ends = dict(eos_token_id=chain[-1], pad_token_id=None, bos_token_id=None, tie_word_embeddings=False)
model = Qwen3ForCausalLM(Qwen3Config(vocab_size=151936, head_dim=16, max_position_embeddings=4096, **sizes, **ends))
with torch.no_grad():
    for name, weights in model.named_parameters():
        weights.fill_(1.0 if "norm" in name else 0.0)
    for k, (token, following) in enumerate(zip(chain, chain[1:])):
        model.model.embed_tokens.weight[token, k] = 1.0
        model.lm_head.weight[following, k] = 1.0
model.save_pretrained(folder)
"""
"""Writes a model whose next token is the one behind its last token in a chain, whatever stands before."""


def model_folder(folder: Path, python: Path, text: list[str]) -> Path:
    """A model that says these pieces of text, which must be different tokens, and stops."""
    source = tokenizer_json("qwen3")
    (folder / "model").mkdir(parents=True)
    folder = folder / "model"
    shutil.copy(source, folder / "tokenizer.json")
    config = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": TEMPLATE}))
    tokens = [load_tokenizer(source).encode(piece).tolist() for piece in ["\n", *text, "<|im_end|>"]]
    chain = [token for (token,) in tokens]
    assert len(set(chain)) == len(chain) <= 32
    subprocess.run([python, "-c", WRITES_A_MODEL, folder, json.dumps(chain)], check=True, capture_output=True)
    return folder


CALL = '{"|name|":"|get|_weather|","|arguments|":{"|city|"|:"|Os|lo|",|"d|ays|":|2|}}'


@pytest.mark.slow
def test_transformers_serve_is_probed(run: Any, tmp_path: Path) -> None:
    """The words of a real server: a model of one call, and one of none."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    packages = ["transformers[serving]==5.23.0", "torch==2.13.0"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True, capture_output=True)
    calls = model_folder(tmp_path / "calls", python, ["<tool_call>", *CALL.split("|"), "</tool_call>"])
    greets = model_folder(tmp_path / "greets", python, ["Hello", " there"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
    command = [python.parent / "transformers", "serve", "--device", "cpu", "--host", "127.0.0.1", "--port", str(number)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            base = ["--base-url", f"http://127.0.0.1:{number}/v1", "--retries", "5", "--output-format", "json"]
            ran = run(*base, "--model", str(calls), "--n", "1", "--stream", "--against", str(calls))
            made = ran.document
            assert ran.code == 1
            assert made["extracted"] == {"auto": {"n": 1, "of": 1}}
            assert [each["accepted"] for each in made["conversations"]] == [True]
            # This model cannot but call again, and this server leaves out the words beside calls.
            assert ran.faults == {"prompt-differs": 2, "called-again": 1}
            assert [each["same"] for each in made["prompts"]] == [True, False, False]
            ran = run(*base, "--model", str(calls), "--n", "1", "--max-tokens", "5", "--retries", "0")
            assert (ran.code, ran.out) == (2, "")
            assert "gave no answer: it answers 500: 'Internal Server Error'" in ran.err
            ran = run(*base, "--model", str(greets), "--n", "2", "--stream", "--tool-choice", "auto")
            assert (ran.code, ran.faults) == (3, {"no-call": 2})
            assert ran.document["faults"][0]["says"] == "the model made no call: it said 'Hello there'"
            ran = run(*base, "--model", str(greets), "--n", "1", "--tool-choice", "required")
            assert (ran.code, ran.faults) == (1, {"tool-choice-ignored": 1})
            assert run(*base, "--model", "nobody/nothing", "--n", "1", "--retries", "0").code == 2
        finally:
            process.terminate()


def test_every_kind_of_fault_is_planted_somewhere() -> None:
    planted = [kind for faults, _ in PLANTED.values() for kind in faults]
    planted += [kind.removeprefix("~") for faults in STREAMED.values() for kind in faults]
    assert {*planted, "timed-out", "tool-choice-refused", "prompt-differs"} == {*SERVER, *MODEL}  # these in tests above
