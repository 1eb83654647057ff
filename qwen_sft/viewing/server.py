"""The viewer's server: to this machine only, to read only, and of nothing but what it was given.

No address is ever taken for the name of a file: there are lists, the samples in them by number, a style and a script.
A page of somebody else's, open in the same browser, can neither read them (it has another origin) nor reach them under
a name of its own that leads here (DNS rebinding): requests must name this server as their host.
"""

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from qwen_sft.errors import QwenSftError, UsageError
from qwen_sft.text.element import Html, el
from qwen_sft.text.terminal import printable
from qwen_sft.viewing.collection import Collection, Filters
from qwen_sft.viewing.listing import N_HITS, list_body, steps
from qwen_sft.viewing.page import asset, document, sample_body

HOST = "127.0.0.1"
PORT = 8765
"""Where it answers if nobody asks for another port and this one is free."""

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_TYPES = {".css": "text/css", ".js": "text/javascript"}
_LONGEST = 4_096  # bytes of a query


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: a status, a type of content, and the content."""

    status: int
    kind: str
    body: bytes


class Viewer:
    """The pages of some collections.

    Args:
        heading: what is shown, for people.
        every: the lists, the first of which opens first.
    """

    def __init__(self, heading: str, every: Sequence[Collection]) -> None:
        self._heading, self._every = heading, every
        self._by_name = {one.name: one for one in every}

    def answer(self, target: str) -> Answer:
        """The answer to a request of some address."""
        split = urlsplit(target)
        if len(split.query) > _LONGEST:
            return self.fault(414, "The question is too long.")
        asked = dict(parse_qsl(split.query, max_num_fields=20))
        match split.path.split("/")[1:]:
            case [""]:
                return self._list(self._every[0], asked)
            case ["view.css"]:
                return _asset(".css", asset("sample.css") + asset("view.css"))
            case ["view.js"]:
                return _asset(".js", asset("view.js"))
            case [name] if name in self._by_name:
                return self._list(self._by_name[name], asked)
            case [name, number] if name in self._by_name and number.isascii() and number.isdecimal():
                return self._sample(self._by_name[name], int(number[:18]), asked)
            case _:
                return self.fault(404, "There is no such page.")

    def _list(self, here: Collection, asked: Mapping[str, str]) -> Answer:
        filters = Filters.of(asked)
        back = _number(asked.get("back"))
        start = back or _number(asked.get("start")) or 1
        hits = here.hits(filters, start, N_HITS, back=back is not None)
        failure: str = getattr(here, "failure", "")
        body = list_body(self._every, here, self._heading, filters, hits, start, failure)
        return _page(200, self._heading, *body)

    def _sample(self, here: Collection, number: int, asked: Mapping[str, str]) -> Answer:
        sheet = here.sheet(number)
        if sheet is None:
            return self.fault(404, "There is no such sample.")
        filters = Filters.of(asked)
        before = here.hits(filters, number - 1, 1, back=True).hits if number > 1 else []
        behind = here.hits(filters, number + 1, 1).hits
        beside = {"prev": before[0].number if before else None, "next": behind[0].number if behind else None}
        return _page(200, sheet.title, *sample_body(sheet, steps(here, filters, number, beside)))

    def fault(self, status: int, says: str) -> Answer:
        """A page that says why there is no other."""
        main = el("main", el("h1", says), el("p", el("a", "Back to the list", href="/")))
        return _page(status, says, main)


def _number(text: str | None) -> int | None:
    return int(text[:18]) if text and text.isascii() and text.isdecimal() else None


def _page(status: int, title: str, *body: Html) -> Answer:
    head = [el("link", rel="stylesheet", href="/view.css"), el("script", src="/view.js", defer=True)]
    return Answer(status, "text/html", document(title, head, *body).encode("utf-8", "replace"))


def _asset(suffix: str, text: str) -> Answer:
    return Answer(200, _TYPES[suffix], text.encode())


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    @property
    def _own(self) -> "Server":
        return cast("Server", self.server)  # nobody else makes handlers

    def version_string(self) -> str:
        return "qwen-sft"

    def do_GET(self) -> None:
        self._send(self._answer(), head=False)

    def do_HEAD(self) -> None:
        self._send(self._answer(), head=True)

    def _refuse(self) -> None:
        self.close_connection = True  # what it sends is not read
        self._send(self._own.viewer.fault(405, "This server is only read from."), head=False)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse

    def _answer(self) -> Answer:
        names = self._own.names
        hosts, origins = self.headers.get_all("Host", []), self.headers.get_all("Origin", [])
        if len(hosts) != 1 or hosts[0].lower() not in names:
            return self._own.viewer.fault(403, "This server answers only under its own name.")
        if any(one.lower() not in {f"http://{name}" for name in names} for one in origins):
            return self._own.viewer.fault(403, "This server answers no other site.")
        try:
            return self._own.viewer.answer(self.path)
        except QwenSftError as error:
            return self._own.viewer.fault(500, str(error))
        except Exception:
            sys.stderr.write(printable(traceback.format_exc()))
            return self._own.viewer.fault(500, "This is a fault of qwen-sft; the terminal tells more.")

    def _send(self, answer: Answer, *, head: bool) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", f"{answer.kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if answer.status == 405:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if not head:
            self.wfile.write(answer.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What is no request of ours is answered by a page of ours too."""
        self.close_connection = True
        self._send(self._own.viewer.fault(code, message or explain or "This is no request."), head=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads a log of these."""


class Server(ThreadingHTTPServer):
    """Listens on this machine only.

    Args:
        port: where; where that is taken, or None was given and PORT is, a free one.
    """

    daemon_threads = True

    def __init__(self, viewer: Viewer, port: int | None = None) -> None:
        self.viewer = viewer
        try:
            super().__init__((HOST, PORT if port is None else port), _Handler)
        except OverflowError as error:
            raise UsageError(f"there is no port {port}") from error
        except OSError:
            super().__init__((HOST, 0), _Handler)
        self.names = frozenset(f"{name}:{self.server_port}" for name in (HOST, "localhost"))

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # its caller's names
        """A browser that goes away in the middle is no news."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            sys.stderr.write(printable(traceback.format_exc()))
