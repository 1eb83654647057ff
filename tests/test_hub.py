"""A built folder goes to the model hub in one commit: against a server that speaks the hub's HTTP API."""

import base64
import hashlib
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import warm

ROOT = Path(__file__).parents[1]
TOKEN = "hf_" + "x" * 34


@dataclass
class Hub:
    """What the server has, and how it answers.

    Attributes:
        files: of the repository, by path.
        commits: each as the paths that it wrote and those that it took out.
        refuses: the status of every answer, with the words that go with it; None to work.
        as_lfs: whether files of data are asked for as objects, the others within the commit.
    """

    endpoint: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    commits: list[tuple[set[str], set[str]]] = field(default_factory=list)
    made: list[dict[str, Any]] = field(default_factory=list)
    refuses: tuple[int, str] | None = None
    as_lfs: bool = True


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, value: Any, status: int = 200) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            read = b""
            while size := int(self.rfile.readline(), 16):
                read += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return read

        def refused(self) -> bool:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.answer({"error": "Invalid credentials"}, 401)
                return True
            if hub.refuses:
                status, words = hub.refuses
                self.answer({"error": words}, status)
            return hub.refuses is not None

        def do_PUT(self) -> None:
            body = self.body()
            hub.objects[self.path.rpartition("/")[2]] = body
            self.answer({})

        def do_GET(self) -> None:
            if self.refused():
                return
            path = self.path.partition("?")[0]
            if re.fullmatch(r"/api/datasets/[\w/-]+/tree/main", path):
                listed = [{"type": "file", "path": n, "size": len(b), "oid": "0" * 40} for n, b in hub.files.items()]
                self.answer(listed)
            else:
                siblings = [{"rfilename": name} for name in hub.files]
                self.answer({"id": "me/set", "sha": "0" * 40, "siblings": siblings, "tags": [], "private": True})

        def do_POST(self) -> None:
            body = self.body()
            if self.refused():
                return
            path = self.path.partition("?")[0]
            if path == "/api/repos/create":
                asked = json.loads(body)
                hub.made.append(asked)
                owner = asked.get("organization") or "me"
                self.answer({"url": f"{hub.endpoint}/datasets/{owner}/{asked['name']}", "id": f"{owner}/set"})
            elif path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif "/preupload/" in path:
                files = json.loads(body)["files"]
                modes = ["lfs" if hub.as_lfs and one["path"].startswith("data/") else "regular" for one in files]
                self.answer(
                    {
                        "files": [
                            {"path": one["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}
                            for one, mode in zip(files, modes, strict=True)
                        ]
                    }
                )
            elif path.endswith("/info/lfs/objects/batch"):
                objects = json.loads(body)["objects"]
                href = f"{hub.endpoint}/objects/"
                self.answer(
                    {
                        "transfer": "basic",
                        "objects": [{**one, "actions": {"upload": {"href": href + one["oid"]}}} for one in objects],
                    }
                )
            elif "/commit/" in path:
                self.commit([json.loads(line) for line in body.splitlines()])
            else:
                self.answer({"error": f"no such path {path}"}, 404)

        def commit(self, lines: list[Any]) -> None:
            wrote, took = set[str](), set[str]()
            for line in lines:
                value = line["value"]
                match line["key"]:
                    case "file":
                        assert value["encoding"] == "base64"
                        hub.files[value["path"]] = base64.b64decode(value["content"])
                        wrote.add(value["path"])
                    case "lfsFile":
                        hub.files[value["path"]] = hub.objects[value["oid"]]
                        wrote.add(value["path"])
                    case "deletedFile":
                        del hub.files[value["path"]]
                        took.add(value["path"])
                    case _:
                        assert line["key"] == "header"
            hub.commits.append((wrote, took))
            oid = hashlib.sha1(str(len(hub.commits)).encode()).hexdigest()
            url = f"{hub.endpoint}/datasets/me/set/commit/{oid}"
            self.answer({"success": True, "commitOid": oid, "commitUrl": url})

    return Handler


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


def build(folder: Path, hub: Hub, *arguments: str, token: str = TOKEN, traces: str = "clean") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a build in a folder, pushed to that hub."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": token,
        "HF_HOME": str(folder / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }
    command = [warm.folder() / warm.PROGRAM, "build", str(ROOT / "examples" / f"{traces}.jsonl")]
    command += ["--model", "qwen3", "--out", "out", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert TOKEN not in done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


def sent(folder: Path) -> dict[str, bytes]:
    """What of a built folder is to be sent."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if name != "rejects.jsonl"}


@pytest.mark.parametrize("as_lfs", [True, False])
def test_a_set_is_sent_in_one_commit(hub: Hub, as_lfs: bool, tmp_path: Path) -> None:
    hub.as_lfs = as_lfs
    code, out, err = build(tmp_path, hub, "--push-to-hub", "me/set", "--private")
    assert (code, out) == (0, "out\n"), err
    assert err.splitlines()[-1] == f"pushed: {hub.endpoint}/datasets/me/set/commit/{hashlib.sha1(b'1').hexdigest()}"
    assert hub.files == sent(tmp_path / "out")
    assert "data/train-00000-of-00001.parquet" in hub.files
    assert [
        (one["name"], one["type"], one.get("private") or one.get("visibility") == "private") for one in hub.made
    ] == [("set", "dataset", True)]

    hub.files["data/train-00001-of-00002.parquet"] = b"of an earlier build"
    hub.files["NOTES.md"] = b"a person's own"
    code, _, err = build(tmp_path, hub, "--push-to-hub", "me/set", "--force", "--seed", "1")
    assert code == 0, err
    assert hub.files == {**sent(tmp_path / "out"), "NOTES.md": b"a person's own"}
    assert [took for _, took in hub.commits] == [set(), {"data/train-00001-of-00002.parquet"}]


def test_a_set_that_fails_is_not_sent(hub: Hub, tmp_path: Path) -> None:
    code, _, err = build(tmp_path, hub, "--push-to-hub", "me/set", traces="broken")
    assert code == 1
    assert err.splitlines()[-1] == "not pushed to 'me/set': the run failed; mend it, or allow it with --fail-on never"
    assert hub.made == hub.commits == []
    code, _, err = build(tmp_path, hub, "--push-to-hub", "me/set", "--force", "--fail-on", "never", traces="broken")
    assert code == 0, err
    assert hub.files == sent(tmp_path / "out")
    assert (tmp_path / "out" / "rejects.jsonl").stat().st_size


@pytest.mark.parametrize(
    ("refuses", "why"),
    [
        ((403, "Forbidden"), "your token may not write there; use one that may"),
        ((404, "Repository Not Found"), "there is no such owner, or your token does not show it"),
        ((400, "the name <b>is</b> \x1b[31mtaken"), "the name <b>is</b> \\x1b[31mtaken"),
    ],
)
def test_a_hub_that_refuses_says_why_and_the_set_is_kept(
    hub: Hub, refuses: tuple[int, str], why: str, tmp_path: Path
) -> None:
    hub.refuses = refuses
    code, _, err = build(tmp_path, hub, "--push-to-hub", "me/set")
    assert code == 2
    assert err.splitlines()[-1] == (
        f"qwen-sft: the model hub refuses the push to 'me/set' ({refuses[0]}): {why}; "
        "the set is whole in 'out', to push again"
    )
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_a_wrong_token_says_how_to_get_one(hub: Hub, tmp_path: Path) -> None:
    code, _, err = build(tmp_path, hub, "--push-to-hub", "me/set", token="hf_other")
    assert code == 2
    assert "(401): it asks who you are; log in with: hf auth login" in err.splitlines()[-1]
    assert "hf_other" not in err


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    code, _, err = build(tmp_path, Hub(endpoint="http://127.0.0.1:9"), "--push-to-hub", "me/set")
    assert code == 2
    assert err.splitlines()[-1].startswith("qwen-sft: cannot push to 'me/set': ")
    assert err.splitlines()[-1].endswith("; the set is whole in 'out', to push again")


def test_what_a_push_needs_is_looked_at_before_the_build(hub: Hub, tmp_path: Path) -> None:
    code, _, err = build(tmp_path, hub, "--push-to-hub", "not a name")
    assert code == 2
    assert err.splitlines()[-1].startswith("qwen-sft: cannot push to 'not a name': ")
    code, _, err = build(tmp_path, hub, "--push-to-hub", "me/set", token="")
    assert (code, err.splitlines()[-1]) == (
        2,
        "qwen-sft: cannot push to 'me/set' without a token; set HF_TOKEN, or log in with: hf auth login",
    )
    assert not (tmp_path / "out").exists()
