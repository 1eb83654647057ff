"""HTTP to an OpenAI-compatible server: bounded in time and size, patient where that helps, and silent about the key.

The standard library's client: `huggingface_hub` has changed its own twice (requests, httpx, httpx2), so none of them is
sure to be there, and what is needed here is little. Redirects are not followed: a key goes to the host that was named.
"""

import http.client
import json
import re
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from qwen_sft.errors import ServerError, UsageError
from qwen_sft.sample import is_list, is_object, is_too_deep
from qwen_sft.text.quote import quoted

MOST_BYTES = 16 << 20
"""Bytes of one answer; what is longer is no answer to our questions."""

RETRIED = frozenset({408, 429, 500, 502, 503, 504, 529})
"""The statuses behind which the same request may succeed a little later."""

LONGEST_WAIT = 30.0
"""Seconds that a server's Retry-After may make us wait."""

_PASSING = (
    ConnectionRefusedError,
    ConnectionResetError,  # http.client.RemoteDisconnected is one
    BrokenPipeError,
    http.client.IncompleteRead,
)
"""How a connection fails where the next may not: a server that starts, or is restarted."""

_FIRST_WAIT = 0.5
_PIECE = 1 << 16
_USER_AGENT = "qwen-sft-probe"
_HIDDEN = "[the key]"


class TimedOut(ServerError):
    """A request took longer than it may."""


class Broken(ServerError):
    """What came back is no whole HTTP answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server sent back.

    Attributes:
        status: of HTTP.
        kind: the content type, without its parameters, in lower case; "" where none was sent.
        location: where a redirect points; "" where there is none.
        text: the whole body.
    """

    status: int
    kind: str
    location: str
    text: str

    def value(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None

    def message(self) -> str:
        """What an error says in words: OpenAI's `error.message`, FastAPI's `detail`, or the body as it stands."""
        body = self.value()
        if not is_object(body):
            return self.text.strip()
        error: Any = body.get("error")
        said: Any = error.get("message") if is_object(error) else error
        for words in (said, body.get("message"), body.get("detail")):
            if isinstance(words, str) and words.strip():
                return words.strip()
            if is_list(words) and words:  # of pydantic: one object for each fault of the request
                first: Any = words[0]
                told: Any = first.get("msg") if is_object(first) else first
                return str(told)
        return self.text.strip()


class Quote:
    """Quotes what a server sent, cut short, and without the key, however the server came to send it."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def hide(self, text: str) -> str:
        """The text with the key replaced."""
        return text.replace(self._key, _HIDDEN) if self._key else text

    def __call__(self, value: Any, most: int = 160) -> str:
        return quoted(self._hidden(value), most)

    def _hidden(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.hide(value)
        if is_too_deep(value):
            return f"a {type(value).__name__}"
        if is_object(value):
            return {self.hide(key): self._hidden(each) for key, each in value.items()}
        return [self._hidden(each) for each in value] if is_list(value) else value


class Client:
    """The way to one server.

    Args:
        base_url: with the version, as OpenAI's clients take it: `http://localhost:8000/v1`.
        key: sent as a bearer token; None for none.
        key_name: the environment variable that it came from, for messages.
        timeout: seconds that one request may take, its connection and its whole answer included.
        retries: how often a request is sent again behind a status of RETRIED or a connection that fails.

    Raises:
        UsageError: the URL is none that we can ask, or the key is none that HTTP can carry.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        key_name: str = "OPENAI_API_KEY",
        timeout: float = 120.0,
        retries: int = 3,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._scheme, self._host, self._port, self._path = _parts(base_url)
        if key is not None and not re.fullmatch(r"[\x21-\x7e]+", key):
            raise UsageError(
                f"the key in ${key_name} holds characters that HTTP cannot carry: it must be plain ASCII without spaces"
            )
        self._key, self._key_name = key, key_name
        self._timeout, self._retries, self._sleep = timeout, retries, sleep
        self.base_url = f"{self._scheme}://{self._authority}{self._path}"
        self.quote = Quote(key)

    @property
    def _authority(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return host if self._port == _PORTS[self._scheme] else f"{host}:{self._port}"

    @property
    def root(self) -> str:
        """The path above the version, where vLLM has what OpenAI does not: "" as a rule."""
        return self._path.removesuffix("/v1")

    def get(self, path: str) -> Reply:
        """What stands at a path below the base URL; see `ask`."""
        return self.ask("GET", self._path + path, None, retried=RETRIED - {500})

    def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """The answer to a request below the base URL; see `ask`."""
        return self.ask("POST", self._path + path, body)

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, retried: Collection[int] = RETRIED
    ) -> Reply:
        """The answer to one request, whatever its status, but that nobody may ask.

        Args:
            retried: the statuses behind which the request is sent again.

        Raises:
            ServerError: nobody listens there, TLS fails, the key is refused, or it sends us elsewhere.
            TimedOut: it took longer than the time-out.
            Broken: the connection ended before the answer did, or the answer is no HTTP or too long.
        """
        data = None if body is None else json.dumps(body).encode()
        for left in range(self._retries, -1, -1):
            wait = _FIRST_WAIT * 2 ** (self._retries - left)
            try:
                reply, after = self._once(method, path, data)
            except (OSError, http.client.HTTPException) as error:
                if left and isinstance(error, _PASSING):
                    self._sleep(wait)
                    continue
                raise self._failed(error) from None
            if reply.status in retried and left:
                self._sleep(min(wait if after is None else after, LONGEST_WAIT))
                continue
            self._check(reply, path)
            return reply
        raise AssertionError("the last try returns or raises")

    def _check(self, reply: Reply, path: str) -> None:
        """Stops at what no later request would mend.

        Raises:
            ServerError: the key is missing or refused, or the server sends us elsewhere.
        """
        if reply.status in (401, 403):
            how = (
                f"it refuses the key in ${self._key_name}"
                if self._key
                else f"it wants a key: put it into ${self._key_name}, or name another variable with --api-key-env"
            )
            raise ServerError(f"{self.base_url} answers {reply.status}: {how}{self._said(reply)}")
        if 300 <= reply.status < 400:
            where = self.quote(reply.location)
            raise ServerError(
                f"{self.base_url} answers {reply.status} to {path}, which points to {where}; name that as --base-url"
            )

    def _said(self, reply: Reply) -> str:
        message = reply.message()
        return f" (it says {self.quote(message)})" if message else ""

    def _failed(self, error: Exception) -> ServerError:
        """Why no answer came, in words."""
        where = f"{self._host}:{self._port}"
        if isinstance(error, TimeoutError):
            return TimedOut(f"{where} did not answer within {self._timeout:g} s; wait longer with --timeout")
        if isinstance(error, ConnectionRefusedError):
            return ServerError(f"nothing listens at {where} (connection refused); is the server up, is the port right?")
        if isinstance(error, socket.gaierror):
            return ServerError(f"no host has the name {self._host!r} ({error.strerror})")
        if isinstance(error, ssl.SSLCertVerificationError):
            return ServerError(
                f"the certificate of {where} is not trusted ({error.verify_message}); "
                "name a file with the certificate of who signed it in $SSL_CERT_FILE"
            )
        if isinstance(error, ssl.SSLError):
            return ServerError(f"{where} speaks no TLS that we know ({error.reason}); should the URL begin with http:?")
        if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError):
            return Broken(f"{where} closed the connection without an answer")
        if isinstance(error, http.client.IncompleteRead):
            return Broken(f"{where} broke off in the middle of an answer")
        if isinstance(error, http.client.HTTPException):
            return Broken(f"{where} answers with what is no HTTP; is it another kind of server, or https:?")
        said = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        return ServerError(f"{where} cannot be reached ({said})")

    def _once(self, method: str, path: str, data: bytes | None) -> tuple[Reply, float | None]:
        """One request, and the seconds of its Retry-After."""
        headers = {"Accept": "application/json, text/event-stream", "User-Agent": _USER_AGENT, "Connection": "close"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        connection, target = self._connection(path)
        until = time.monotonic() + self._timeout
        try:
            connection.connect()
            with _ends(connection, until) as expired:
                try:
                    connection.request(method, target, body=data, headers=headers)
                    answer = connection.getresponse()
                    text = _text(answer)
                except (OSError, http.client.HTTPException):
                    if expired.is_set():
                        raise TimeoutError from None
                    raise
                if expired.is_set():  # an answer without a length looks whole when it is cut
                    raise TimeoutError
            kind = (answer.getheader("Content-Type") or "").partition(";")[0].strip().lower()
            return Reply(answer.status, kind, answer.getheader("Location") or "", text), _seconds(
                answer.getheader("Retry-After")
            )
        finally:
            connection.close()

    def _connection(self, path: str) -> tuple[http.client.HTTPConnection, str]:
        """A connection, by way of the environment's proxy if it names one for this host, and what to ask there."""
        secure = self._scheme == "https"
        proxy = urllib.request.getproxies().get(self._scheme)
        if proxy and urllib.request.proxy_bypass(f"{self._host}:{self._port}"):
            proxy = None
        host, port = self._host, self._port
        if proxy:
            host, port = self._proxy(proxy)
        if not secure:
            target = f"http://{self._authority}{path}" if proxy else path
            return http.client.HTTPConnection(host, port, timeout=self._timeout), target
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)
        if proxy:
            connection.set_tunnel(self._host, self._port)
        return connection, path

    def _proxy(self, url: str) -> tuple[str, int]:
        """Host and port of a proxy.

        Raises:
            UsageError: it is none that we can ask.
        """
        split = urlsplit(url if "//" in url else f"http://{url}")
        if split.scheme != "http" or split.username or not split.hostname:
            raise UsageError(
                f"the proxy in ${self._scheme}_proxy is not of a kind that can be asked: it must be http://HOST:PORT, "
                f"without a user; or put {self._host} into $no_proxy"
            )
        return split.hostname, split.port or _PORTS["http"]


_PORTS = {"http": 80, "https": 443}


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of a URL, the path without a last slash.

    Raises:
        UsageError: it is none that we can ask.
    """
    example = "write it as http://localhost:8000/v1"
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError as error:
        raise UsageError(f"--base-url is no URL ({error}); {example}") from None
    if split.username or split.password:
        raise UsageError("--base-url holds a user or a password; put a key into $OPENAI_API_KEY instead")
    if split.scheme not in _PORTS or not host or re.search(r"[\x00-\x20\x7f-\uffff]", url):
        raise UsageError(f"--base-url is {quoted(url)}, no URL that can be asked; {example}")
    if split.query or split.fragment:
        raise UsageError(f"--base-url is {quoted(url)}, which ends in a query; {example}")
    return split.scheme, host, port or _PORTS[split.scheme], split.path.rstrip("/")


@contextmanager
def _ends(connection: http.client.HTTPConnection, until: float) -> Generator[threading.Event]:
    """Shuts the connection at a time, however slowly its bytes trickle; the event tells that it did."""
    expired = threading.Event()

    def end() -> None:
        expired.set()
        if connection.sock is not None:
            with suppress(OSError):  # it has gone by itself
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, until - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def _text(answer: http.client.HTTPResponse) -> str:
    """The whole body; what is no UTF-8 is replaced.

    Raises:
        HTTPException: it is longer than it may be, or breaks off.
    """
    pieces: list[bytes] = []
    n_bytes = 0
    while piece := answer.read(_PIECE):
        pieces.append(piece)
        n_bytes += len(piece)
        if n_bytes > MOST_BYTES:
            raise http.client.LineTooLong("body")
    if answer.length:  # `read` of a number of bytes does not say that the connection ended before the body did
        raise http.client.IncompleteRead(b"", answer.length)
    return b"".join(pieces).decode("utf-8", errors="replace")


def _seconds(text: str | None) -> float | None:
    """A Retry-After in seconds; None for none, and for a date."""
    return float(text) if text and re.fullmatch(r"\d{1,6}(\.\d{1,3})?", text.strip()) else None
