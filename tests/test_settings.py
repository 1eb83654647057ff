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
    "on-too-long": ("reject", "drop-turns", "drop-oldest-results", "split-at-user"),
    "dedup": ("none", "exact", "near"),
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
    "fial-on = 'error'": r"sets 'fial-on', which is no setting \(nearest: 'fail-on'\); settings are address, ",
    "fail_on = 'error'": r"sets 'fail_on', which is no setting \(nearest: 'fail-on'\); ",
    "max-length = '100'": r"sets max-length to '100'; it takes a whole number",
    "max-length = true": r"sets max-length to True; it takes a whole number",
    "seed = 1.5": r"sets seed to 1\.5; it takes a whole number",
    "model = 3": r"sets model to 3; it takes a string",
    "select = 'TOL'": r"sets select to 'TOL'; it takes a list of strings",
    "ignore = [3]": r"sets ignore to \[3\]; it takes a list of strings",
    "max-length = 0": r"max-length is 0; it counts tokens and must be 1 or more",
    "model = ''": r"model is ''; name a family, a folder or a hub id, see: qwen-sft models",
    "train = []": r"train names no selector; it can be assistant, last-turn, last-run, calls, final-answers, none-of:",
    "train = ['']": r"train is ''; it can be assistant, ",
    "train = ['asistant']": r"train is 'asistant'; it can be assistant, ",
    "train = ['none-of:reasoning', 'only:reasoning']": r"train none-of:reasoning,only:reasoning leaves no kind of",
    "shard-size = 0": r"shard-size is 0; it counts bytes and must be 1 or more",
    "fail-on =": r"qwen-sft\.toml is not TOML: ",
    **{f"{key} = 'x'": rf"{key} is 'x'; it can be {', '.join(values)}" for key, values in CHOICES.items()},
}


# By the value of [chat-template-kwargs] in TOML: what a request, a lock or a template could not take.
WRONG_OPTIONS = {
    "x = nan": r"chat-template-kwargs set 'x' to nan; nan is no JSON number$",
    "x = inf": r"chat-template-kwargs set 'x' to inf; inf is no JSON number$",
    "x = {y = [1, -inf]}": r"chat-template-kwargs set 'x' to {'y': \[1, -inf\]}; -inf is no JSON number$",
    "x = 1979-05-27": r"chat-template-kwargs set 'x' to datetime\.date\(1979, 5, 27\); a date is no JSON value$",
    "x = [07:32:00]": r"chat-template-kwargs set 'x' to \[datetime\.time\(7, 32\)\]; a time is no JSON value$",
    "x = 9223372036854775808": r"set 'x' to 9223372036854775808; an integer must fit into 64 bits$",
    f"x = {'[' * 201}{']' * 201}": r"set 'x' to a value of more than 200 levels$",
    "enable_thinking = 'false'": r"set 'enable_thinking' to 'false'; it takes true or false$",
    "enable_thinking = 0": r"set 'enable_thinking' to 0; it takes true or false$",
    "preserve_thinking = []": r"set 'preserve_thinking' to \[\]; it takes true or false$",
}


@pytest.mark.parametrize(("text", "says"), WRONG_OPTIONS.items(), ids=[text[:40] for text in WRONG_OPTIONS])
def test_template_option_that_cannot_be_sent_or_locked_stops_us(tmp_path: Path, text: str, says: str):
    with pytest.raises(UsageError, match=says):
        loaded(tmp_path, f"[chat-template-kwargs]\n{text}\n")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"x": "a\ud800"}, r"set 'x' to 'a\\ud800'; half a surrogate pair is no character$"),
        ({"x": {"\udfff": 1}}, r"set 'x' to {'\\udfff': 1}; half a surrogate pair is no character$"),
        ({"\ud800": 1}, r"set '\\ud800' to 1; half a surrogate pair is no character$"),
        ({"x": (1, 2)}, r"set 'x' to \(1, 2\); a tuple is no JSON value$"),
        ({3: True}, r"set 3; options are named by strings$"),
        ({"enable_thinking": None}, r"set 'enable_thinking' to None; it takes true or false$"),
    ],
)
def test_template_option_of_a_caller_is_held_to_the_same(options: Any, says: str):
    with pytest.raises(UsageError, match=f"^chat-template-kwargs {says}"):
        Settings(chat_template_kwargs=options)


def test_template_options_may_be_any_json():
    options = {"enable_thinking": False, "x": [None, True, -(1 << 63), 1.5, "é\U0001f600", {"y": []}]}
    assert Settings(chat_template_kwargs=options).chat_template_kwargs == options


def test_value_that_toml_cannot_nest_stops_us(tmp_path: Path):
    with pytest.raises(UsageError, match=r"qwen-sft\.toml nests a value too deep to be read$"):
        loaded(tmp_path, f"[chat-template-kwargs]\nx = {'[' * 100_000}\n")


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
    assert chosen(near_duplicates=True) == ALL
    assert chosen() == ALL - {"SET007"}
    assert chosen(select=("TOL003",)) == ALWAYS | {"TOL003"}
    assert chosen(select=("tol",)) == ALWAYS | of("TOL")
    assert chosen(select=("orphan-tool-result", "MSG")) == ALWAYS | {"TOL003"} | of("MSG")
    assert chosen(ignore=("TOL", "unknown-role")) == ALL - of("TOL") - {"MSG001", "SET007"}
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
