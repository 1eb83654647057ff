"""Settings: flags over file over default, nothing misspelled taken for a setting, and which rules they choose."""

from pathlib import Path
from typing import Any

import pytest

from qwen_sft.errors import UsageError
from qwen_sft.pipeline import Pipeline
from qwen_sft.rule import rules
from qwen_sft.settings import Settings, load_settings

CHOICES = {
    "fail-on": ("error", "warning", "info", "never"),
    "trailing-calls": ("error", "drop-turn", "keep"),
    "on-too-long": ("reject", "drop-turns"),
    "verify": ("all", "sample", "none"),
    "tokenizer-backend": ("auto", "fastokens", "tokenizers"),
}


def loaded(folder: Path, text: str, name: str = "qwen-sft.toml", **flags: Any) -> Settings:
    (folder / name).write_text(text)
    return load_settings(flags, folder=folder)


def test_flag_wins_over_file_and_file_over_default(tmp_path: Path):
    text = 'fail-on = "warning"\nmax-length = 100\nselect = ["TOL"]\n'
    found = loaded(tmp_path, text, max_length=200, seed=0, select=None)
    assert found == Settings(fail_on="warning", max_length=200, select=("TOL",))


def test_every_setting_can_stand_in_the_file(tmp_path: Path):
    text = """
        format = "openai_chat"
        model = "qwen3"
        fail-on = "never"
        select = ["TOL", "MSG001"]
        ignore = ["TOL003"]
        trailing-calls = "keep"
        max-length = 4096
        on-too-long = "drop-turns"
        verify = "all"
        seed = 7
        shard-size = 1000
        tokenizer-backend = "tokenizers"
    """
    assert loaded(tmp_path, text) == Settings(
        format="openai_chat",
        model="qwen3",
        fail_on="never",
        select=("TOL", "MSG001"),
        ignore=("TOL003",),
        trailing_calls="keep",
        max_length=4096,
        on_too_long="drop-turns",
        verify="all",
        seed=7,
        shard_size=1000,
        tokenizer_backend="tokenizers",
    )


def test_own_file_wins_over_pyproject_whole(tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text('[tool.qwen-sft]\nseed = 1\nfail-on = "info"\n')
    assert load_settings({}, folder=tmp_path) == Settings(seed=1, fail_on="info")
    assert loaded(tmp_path, "seed = 2\n") == Settings(seed=2)
    assert load_settings({}, file=tmp_path / "pyproject.toml") == Settings(seed=1, fail_on="info")


@pytest.mark.parametrize("text", ["", "[tool.black]\nline-length = 9\n", "[project]\nname = 'x'\n", "tool = 3\n"])
def test_pyproject_of_a_project_that_says_nothing_of_us_is_passed_over(tmp_path: Path, text: str):
    assert loaded(tmp_path, text, "pyproject.toml") == Settings()
    assert load_settings({}, folder=tmp_path / "empty") == Settings()


WRONG = {
    "fial-on = 'error'": r"sets 'fial-on', which is no setting; settings are boundary, chat-template-kwargs, ",
    "fail_on = 'error'": r"sets 'fail_on', which is no setting",
    "max-length = '100'": r"sets max-length to '100'; it takes a whole number",
    "max-length = true": r"sets max-length to True; it takes a whole number",
    "seed = 1.5": r"sets seed to 1\.5; it takes a whole number",
    "model = 3": r"sets model to 3; it takes a string",
    "select = 'TOL'": r"sets select to 'TOL'; it takes a list of strings",
    "ignore = [3]": r"sets ignore to \[3\]; it takes a list of strings",
    "max-length = 0": r"max-length is 0; it counts tokens and must be 1 or more",
    "shard-size = 0": r"shard-size is 0; it counts bytes and must be 1 or more",
    "fail-on =": r"qwen-sft\.toml is not TOML: ",
    **{f"{key} = 'x'": rf"{key} is 'x'; it can be {', '.join(values)}" for key, values in CHOICES.items()},
}


@pytest.mark.parametrize(("text", "says"), WRONG.items(), ids=list(WRONG))
def test_wrong_setting_stops_us_and_says_what_it_can_be(tmp_path: Path, text: str, says: str):
    with pytest.raises(UsageError, match=says):
        loaded(tmp_path, text)


def test_file_that_cannot_be_settings_stops_us(tmp_path: Path):
    with pytest.raises(UsageError, match=r"no settings file '.*nowhere\.toml'"):
        load_settings({}, file=tmp_path / "nowhere.toml")
    with pytest.raises(UsageError, match=r"pyproject\.toml has no table \[tool\.qwen-sft\]"):
        (tmp_path / "pyproject.toml").write_text("[project]\n")
        load_settings({}, file=tmp_path / "pyproject.toml")
    with pytest.raises(UsageError, match=r"is not TOML: 'utf-8' codec"):
        (tmp_path / "a.toml").write_bytes(b"model = '\xff'")
        load_settings({}, file=tmp_path / "a.toml")


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in CHOICES.items() for value in values])
def test_every_choice_is_taken(tmp_path: Path, key: str, value: str):
    assert getattr(loaded(tmp_path, f"{key} = {value!r}"), key.replace("-", "_")) == value


# -- which rules run --------------------------------------------------------------------------------------------------


def chosen(**settings: Any) -> set[str]:
    return {rule.code for stage in Pipeline(Settings(**settings)).rules.values() for rule in stage}


ALL = set(rules())
ALWAYS = {code for code in ALL if code.startswith(("SRC", "SCH"))}


def of(*letters: str) -> set[str]:
    return {code for code in ALL if code.startswith(letters)}


def test_rules_are_chosen_by_code_by_letters_and_by_name():
    assert chosen() == ALL
    assert chosen(select=("TOL003",)) == ALWAYS | {"TOL003"}
    assert chosen(select=("tol",)) == ALWAYS | of("TOL")
    assert chosen(select=("orphan-tool-result", "MSG")) == ALWAYS | {"TOL003"} | of("MSG")
    assert chosen(ignore=("TOL", "unknown-role")) == ALL - of("TOL") - {"MSG001"}
    assert chosen(select=("TOL",), ignore=("TOL003",)) == ALWAYS | of("TOL") - {"TOL003"}


@pytest.mark.parametrize("selector", ["TOL999", "nonsense", "", "TOL003x"])
def test_rule_that_does_not_exist_stops_us(selector: str):
    for key in ("select", "ignore"):
        with pytest.raises(UsageError, match=f"no rule '{selector}'; see: qwen-sft rule"):
            Pipeline(Settings(**{key: (selector,)}))


@pytest.mark.parametrize("selector", ["SRC", "src001", "SCH001", "invalid-shape"])
def test_rules_that_say_what_was_not_checked_cannot_be_ignored(selector: str):
    with pytest.raises(UsageError, match=f"'{selector}' cannot be ignored: what it names was not checked at all"):
        Pipeline(Settings(ignore=(selector,)))


def test_unknown_format_stops_us_and_names_those_that_are_known():
    with pytest.raises(UsageError, match=r"no format 'openai'; formats are .*openai_chat"):
        Pipeline(Settings(format="openai"))
