"""`qwen-sft` without its start, for the shells that tests run: a command costs a tenth.

A start takes half a second of imports, and with a model a second and a half for its tokenizer. Here one process has
both behind it, and forks for each command: the same `main`, on the streams, in the folder and with the environment of
who asked. That each command also runs as a program of its own is shown by tests/test_cli.py.
"""

import ast
import atexit
import gc
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

PROGRAM, PYTHON = "qwen-sft", "qwen-sft-python"
"""The command line, and what runs a script from stdin, as `python -` does."""

CLIENT = """#!{python} -IS
import os, socket, sys
asked = repr((sys.argv, os.getcwd(), dict(os.environ))).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [len(asked).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(asked)
    answer = server.recv(1)
sys.exit(answer[0] if answer else 70)
"""


@cache
def folder() -> Path:
    """A folder with both programs; the process behind them ends with this one."""
    made = Path(tempfile.mkdtemp(prefix="qwen-sft-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    address = str(made / "socket")
    for name in (PROGRAM, PYTHON):
        (made / name).write_text(CLIENT.format(python=sys.executable, address=address))
        (made / name).chmod(0o755)
    command = [sys.executable, __file__, address]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    atexit.register(server.communicate)  # the end of its input ends it
    return made


def path() -> str:
    """PATH with that folder in front, then the programs that are installed beside this Python."""
    return os.pathsep.join([str(folder()), str(Path(sys.executable).parent), os.environ["PATH"]])


def _serve(address: str) -> None:
    from qwen_sft import cli  # noqa: F401  # what most commands import
    from qwen_sft.building import build as building  # noqa: F401  # what most commands import
    from qwen_sft.format import formats
    from qwen_sft.library import built, report  # noqa: F401  # what most commands import
    from qwen_sft.rule import rules
    from qwen_sft.running import gate, repair  # noqa: F401  # what most commands import
    from qwen_sft.tokenizing.tokenizer import load_tokenizer
    from qwen_sft.tokenizing.vocabulary import tokenizer_json

    assert formats() and rules()
    for backend in ("auto", "tokenizers"):  # the second for little data
        load_tokenizer(tokenizer_json("qwen3"), backend)
    assert not sys.modules.keys() & {"datasets", "huggingface_hub", "transformers"}, "they read the environment"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
        gc.freeze()  # else the collector of each child would copy what it looks at
        print("ready", flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            asking, _ = listener.accept()
            if not os.fork():
                listener.close()
                _run(asking)
            asking.close()


def _run(asking: socket.socket) -> None:
    """One command, in a process of its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, *_ = socket.recv_fds(asking, 8, 3)
    with asking.makefile("rb") as rest:
        sys.argv, cwd, environment = ast.literal_eval(rest.read(int.from_bytes(size, "big")).decode())
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    code: object = 1
    try:
        _main()
        code = 0
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        asking.sendall(bytes([code if isinstance(code, int) else code is not None]))
        os._exit(0)


def _main() -> None:
    if Path(sys.argv[0]).name == PROGRAM:
        from qwen_sft.cli import main

        main()
    else:
        sys.path.insert(0, "")  # as `python -` does
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    _serve(sys.argv[1])
