"""A chat API over sockets whose model is a script: `python -m tests.chat_server` prints its port and serves.

The first part of the path says what is wrong with it: `/coder+parser-hermes/v1` is a model that writes XML calls behind
the parser for JSON ones. The script writes what a model would generate; what clients get is what our parsers read in
it, as vLLM would hand it on.
"""

import json
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qwen_sft.encoding.model import Model, load_model
from qwen_sft.family import families
from qwen_sft.parser import Parsed, parsers
from qwen_sft.probing.task import CHOICES, TOOLS, Task, tasks
from qwen_sft.serving.parse import parse_turn

MODEL = "scripted"
NO_AUTO = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
PARSERS = {"hermes": "vllm_hermes", "coder": "vllm_qwen3_coder"}
THOUGHT = "The user wants a tool. I call it."
SEEN: Counter[str] = Counter()
"""How many chat requests came under each first part of the path."""

Call = tuple[str, dict[str, Any]]


@cache
def model() -> Model:
    return load_model("qwen3", families(), thinking="as-is")


@cache
def known() -> dict[str, Task]:
    """Every task by what its user says."""
    return {task.words: task for choices in (CHOICES, ("auto",)) for task, _ in tasks(60, choices)}


def written(calls: list[Call], wire: str) -> str:
    """The calls as a model writes them."""
    if wire == "hermes":
        each = [json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False) for name, arguments in calls]
    else:
        each = [f"<function={name}>\n{''.join(parameters(arguments))}</function>" for name, arguments in calls]
    return "\n".join(f"<tool_call>\n{one}\n</tool_call>" for one in each)


def parameters(arguments: dict[str, Any]) -> Iterator[str]:
    for key, value in arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"<parameter={key}>\n{text}\n</parameter>\n"


class Turn:
    """What the model does with one request, under some faults."""

    def __init__(self, words: set[str], body: dict[str, Any]) -> None:
        self.words, self.body = words, body
        self.messages = body["messages"]
        self.wire = "coder" if "coder" in words else "hermes"
        self.choice = body.get("tool_choice", "auto")

    @property
    def calls(self) -> list[Call]:
        """The calls that the last user's words ask for, as this model makes them."""
        if self.messages[-1]["role"] != "user" or "no-call" in self.words:
            return []
        said = self.messages[-1]["content"].replace("Once more, call", "Call")
        calls = list(known()[said].calls) if said in known() else []
        if isinstance(self.choice, dict):
            calls = calls[:1]
        if "one-call" in self.words:
            calls = calls[:1]
        if "three-calls" in self.words:
            calls = [*calls, *calls[:1], *calls[:1]]
        if "wrong-values" in self.words:
            calls = [(name, {**arguments, next(iter(arguments)): "Atlantis"}) for name, arguments in calls]
        if "wrong-tool" in self.words:
            calls = [("delete_all", arguments) for _, arguments in calls]
        if "strings" in self.words:
            calls = [
                (name, {key: value if isinstance(value, str) else json.dumps(value) for key, value in some.items()})
                for name, some in calls
            ]
        return calls

    @property
    def words_said(self) -> str:
        """What it says beside calls: the values of results, or that it is no help."""
        results = []
        for message in reversed(self.messages):
            if message["role"] != "tool":
                break
            results.insert(0, json.loads(message["content"]))
        if "no-value" in self.words or not results:
            return "" if self.calls else "I cannot help with that.\x1b[2J"
        values = [next(iter(one.values())) for one in results]
        return f"Here you are: **{' and '.join(values).replace('-', ' ')}**."

    @property
    def text(self) -> str:
        """What is generated."""
        text = written(self.calls, self.wire) or self.words_said
        if "broken-call" in self.words and self.calls:
            text = text.replace("}\n</tool_call>", "\n</tool_call>").replace('"arguments": ', '"arguments" ')
        if "call-in-thought" in self.words and self.calls:
            return f"I call {text}"
        if "json-call" in self.words and self.calls:
            return json.dumps([{"name": name, "parameters": arguments} for name, arguments in self.calls])
        if "thinks" in self.words:
            return f"<think>\n{THOUGHT}\n</think>\n\n{text}"
        if "calls-again" in self.words and not self.calls:
            return written([("get_weather", {"city": "Oslo", "days": 2})], self.wire)
        return text

    @property
    def parsed(self) -> Parsed:
        """What the server hands on."""
        name = next((word.removeprefix("parser-") for word in self.words if word.startswith("parser-")), self.wire)
        parser = parsers()[PARSERS[name]] if name != "none" else None
        reads_reasoning = "reads-reasoning" in self.words
        if "blank" in self.words:
            return Parsed(None, ())
        if self.choice == "none":
            return Parsed(self.text, ())
        if self.choice != "auto" and "ignores-choice" not in self.words and "json-call" not in self.words:
            return Parsed(None, tuple(self.calls))  # generated under a grammar, so no parser is needed
        reasoning = "deepseek_r1" if "r1" in self.words else "qwen3"
        thinking = True if reads_reasoning else None
        return parse_turn(self.text, TOOLS, parser=parser, thinking=thinking, reasoning_parser=reasoning)


def call_ids(words: set[str], messages: list[dict[str, Any]], n: int) -> list[Any]:
    """The ids of n calls."""
    if "ids-same" in words:
        return [f"call_{SEEN.total()}"] * n
    if "ids-fixed" in words:
        return [f"call_{k}" for k in range(n)]
    if "ids-counted" in words:  # unique within a conversation, and no further
        before = sum(len(message.get("tool_calls") or ()) for message in messages)
        return [f"call_{before + k}" for k in range(n)]
    if "ids-null" in words:
        return [None] * n
    return [f"chatcmpl-tool-{SEEN.total()}-{k}" for k in range(n)]


def spelled(arguments: dict[str, Any], words: set[str]) -> Any:
    text = json.dumps(arguments, ensure_ascii=False)
    if "arguments-dict" in words:
        return arguments
    if "arguments-twice" in words:
        return json.dumps(text)
    if "arguments-list" in words:
        return json.dumps([arguments])
    return text[:-1] if "arguments-cut" in words else text


def answered(words: set[str], body: dict[str, Any]) -> dict[str, Any]:
    """A whole answer."""
    turn = Turn(words, body)
    parsed = turn.parsed
    ids = call_ids(words, body["messages"], len(parsed.calls))
    calls: list[dict[str, Any]] = []
    for call_id, (name, arguments) in zip(ids, parsed.calls, strict=True):
        one = {"id": call_id, "type": "function", "function": {"name": name, "arguments": spelled(arguments, words)}}
        if "ids-dropped" in words:
            del one["id"]
        if "no-type" in words:
            del one["type"]
        calls.append(one)
    content = parsed.content or None
    if "leaks" in words and calls:
        content = turn.text
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = calls
    if parsed.reasoning is not None:
        message["reasoning_content"] = parsed.reasoning
    finish = "tool_calls" if calls and "finish-stop" not in words else "stop"
    finish = None if "finish-none" in words else finish
    if "cut" in words:
        message, finish = {"role": "assistant", "content": turn.text[:9]}, "length"
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": finish}
    made: dict[str, Any] = {"id": "c", "object": "chat.completion", "model": MODEL, "choices": [choice]}
    made["usage"] = {"completion_tokens": 42 if "blank" in words else len(turn.text) // 4 + 2}
    if len(body["messages"]) and body["messages"][0]["role"] == "system":  # one of the prompts that are compared
        ids = prompt_ids(words, body)
        made["usage"]["prompt_tokens"] = len(ids)
        if "echoes" in words and body.get("return_token_ids"):
            made["prompt_token_ids"] = ids
        if "echoes-sglang" in words and body.get("return_prompt_token_ids"):
            choice["prompt_token_ids"] = ids
    if "no-usage" in words:
        del made["usage"]
    return made


def prompt_ids(words: set[str], body: dict[str, Any]) -> list[int]:
    """The prompt of a request, as a server renders it: arguments are read before the template sees them."""
    messages = json.loads(json.dumps(body["messages"]))
    for message in messages:
        for call in message.get("tool_calls") or ():
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    if "other-system" in words:
        messages[0]["content"] = "Be very brief."
    if "drops-results" in words:
        messages = [message for message in messages if message["role"] != "tool"]
    options = body.get("chat_template_kwargs", {})
    return model().tokenizer.encode(model().server(messages, body["tools"], True, options)).tolist()


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def events(words: set[str], whole: dict[str, Any]) -> Iterator[str]:
    """The same answer as events."""
    choice = whole["choices"][0]
    message = choice["message"]

    def event(delta: dict[str, Any], finish: str | None = None) -> str:
        made = {**whole, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        return f"data: {json.dumps(made)}\n\n"

    yield event({"role": "assistant", "content": ""})
    for name in ("reasoning_content", "content"):
        for piece in pieces(message.get(name) or "", 3):
            yield event({name: piece})
    if "stream-error" in words:
        yield 'data: {"error": {"message": "CUDA out of memory"}}\n\n'
        return
    for k, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        index = {} if "stream-no-index" in words else {"index": k}
        yield event({"tool_calls": [{**call, **index, "function": {"name": function["name"], "arguments": ""}}]})
        parts = pieces(function["arguments"], 5)
        if "stream-loses" in words:
            parts = parts[:1] + parts[2:]
        for piece in parts:
            one: dict[str, Any] = {**index, "function": {"arguments": piece}}
            if "stream-repeats-name" in words:
                one["function"]["name"] = function["name"]
            yield event({"tool_calls": [one]})
        if "stream-one-call" in words:
            break
    if "stream-cut" in words:
        return
    yield event({}, choice["finish_reason"])
    yield "data: [DONE]\n\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def send(self, status: int, body: Any, kind: str = "application/json", **headers: str) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data) + (100 if "breaks-off" in self.words else 0)))
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status: int, message: str, **headers: str) -> None:
        self.send(status, {"error": {"message": message, "type": "error", "code": status}}, **headers)

    def do_GET(self) -> None:
        self.answer({})

    def do_POST(self) -> None:
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def answer(self, body: dict[str, Any]) -> None:
        first, _, rest = self.path[1:].partition("/")
        self.words = words = set(first.split("+"))
        key = self.headers.get("Authorization", "")
        if "gone" in words:
            self.connection.shutdown(socket.SHUT_RDWR)
        elif "no-http" in words:
            self.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        elif "hangs" in words:
            time.sleep(60)
        elif "trickles" in words:
            self.trickle()
        elif "redirects" in words:
            self.send(307, "", Location="https://elsewhere.example/v1/models")
        elif "html" in words:
            self.send(200, "<!DOCTYPE html><title>Sign in</title>", kind="text/html; charset=utf-8")
        elif "locked" in words and key != "Bearer sk-right":
            self.fail(401, f"Incorrect API key provided: {key.removeprefix('Bearer ')}.")
        elif "forbidden" in words:
            self.fail(403, "Country not supported")
        elif rest == "v1/models":
            owner = "vllm" if "vllm" in words else "sglang" if "sglang" in words else "tests"
            names = [MODEL, "other"] if "two-models" in words else [MODEL]
            self.send(200, {"data": [{"id": name, "owned_by": owner} for name in names]})
        elif rest == "tokenize" and "tokenizes" in words:
            self.send(200, {"count": 0, "tokens": prompt_ids(words, body)})
        elif rest == "v1/chat/completions":
            SEEN[first] += 1
            self.chat(words, body, SEEN[first], key)
        else:
            self.send(404, {"detail": "Not Found"})

    def chat(self, words: set[str], body: dict[str, Any], nth: int, key: str) -> None:
        choice = body.get("tool_choice", "auto")
        behind_results = body["messages"][-1]["role"] == "tool"
        if body["model"] != MODEL:
            self.fail(404, f"The model `{body['model']}` does not exist.")
        elif "slow-chat" in words or ("stops" in words and nth > 4):
            time.sleep(60)
        elif "busy" in words and nth % 3:
            after = "999" if "waits-long" in words else "Sat, 21 Nov 2026 07:28:00 GMT" if "waits-odd" in words else "0"
            self.fail(429, "Slow down", Retry_After=after)
        elif "crashes" in words or ("crashes-late" in words and behind_results):
            self.fail(500, "CUDA error")
        elif "chat-html" in words or ("html-late" in words and behind_results):
            self.send(200, "<html>502 Bad Gateway</html>", kind="text/html")
        elif "refuses-all" in words:
            self.fail(400, "no tools here")
        elif "echoes-key" in words:
            self.fail(400, f"bad request: headers were {{'Authorization': '{key}'}} " + key * 30)
        elif "strict" in words and not set(body) <= {"model", "messages", "tools", "temperature", "max_tokens"}:
            detail = f"Unexpected fields in the request: {sorted(set(body) - {'model', 'messages', 'tools'})}"
            self.send(422, {"detail": detail})
        elif "no-auto" in words and choice != "none":
            self.fail(
                400, NO_AUTO if choice == "auto" else f'tool_choice="{choice}" requires --tool-call-parser to be set'
            )
        elif "refuses-none" in words and choice == "none":
            self.fail(400, "tool_choice 'none' is not supported")
        elif "refuses-required" in words and choice == "required":
            self.fail(400, "tool_choice 'required' is not supported")
        elif "refuses-results" in words and behind_results:
            detail = [{"loc": ["body", "messages", 2], "msg": "Tool call id must be 9 letters"}]
            self.send(422, {"detail": detail})
        elif body.get("stream") and "stream-ignored" not in words:
            text = "".join(events(words, answered(words, body)))
            self.send(200, text, kind="text/event-stream")
        else:
            self.send(200, answered(words, body))

    def trickle(self) -> None:
        """A byte now and then: no single wait is long."""
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n")
            for _ in range(600):
                self.wfile.write(b" ")
                time.sleep(0.1)
        except OSError:
            return


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not re.search("Pipe|Reset", str(sys.exc_info()[0])):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
