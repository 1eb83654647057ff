"""`qwen-sft template show|diff|check|lock`, end to end: what is printed, and the exit code."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command import Ran

from qwen_sft.family import families
from qwen_sft.proving.battery import BATTERY
from tests.real import MODELS, needs_real_data
from tests.test_lock import SCHEMA, tokenizer

TEMPLATE = """\
{%- if tools %}{{- '<|im_start|>system\\n' }}
{%- for tool in tools %}{{- tool|tojson + '\\n' }}{% endfor %}{{- '<|im_end|>\\n' }}{% endif %}
{%- for message in messages %}
{%- if message.role == 'critic' %}{% continue %}{% endif %}
{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments|tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' + ('<think>\\n' if think else '') }}{% endif %}
"""
VLLM = "vllm 0.33, --enable-auto-tool-choice"
BACK = "gives back 2 calls with 9 kinds of arguments"


@pytest.fixture
def run(run: Callable[..., Ran]) -> Any:
    """Runs `qwen-sft template ...` in this process, in an empty folder."""
    return partial(run, "template")


def model(folder: Path, template: str = TEMPLATE, eos: str = "<|im_end|>", **changes: Any) -> str:
    """A folder with a template and a small tokenizer; its name."""
    folder.mkdir()
    (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": eos, "pad_token": "<|endoftext|>"}))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(**changes)))
    return folder.name


def rows(out: str) -> list[tuple[str, str, str]]:
    """Status, name and text of each row that `check` printed."""
    lines = out.splitlines()
    return [
        (head[:8].strip(), head[8:].strip(), says.strip()) for head, says in zip(lines[::2], lines[1::2], strict=True)
    ]


# -- show -------------------------------------------------------------------------------------------------------------


def test_show_prints_facts_then_a_row_for_each_shape(run: Any, tmp_path: Path):
    ran = run("show", model(tmp_path / "mine"))
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].endswith(", nobody's official template")
    assert lines[1:6] == [
        "options         think",
        "prompt          '<|im_start|>assistant\\n'",
        "stop token      <|im_end|> (260)",
        "special tokens  bos none, eos <|im_end|> (260), pad <|endoftext|> (258)",
        "added tokens    <|endoftext|> 258, <|im_start|> 259, <|im_end|> 260, <tool_call> 261, </tool_call> 262",
    ]
    table = {line[:42].strip(): line[42:].split(None, 2) for line in lines[8 : 8 + len(BATTERY)]}
    assert len(table) == len(BATTERY)
    assert table["user, assistant"] == ["yes", "yes", "rendered"]
    assert table["unknown role"] == ["yes", "yes", "drops messages[1].content"]
    assert table["user content of one part"][:2] == ["-", "-"]
    assert table["user content of one part"][2].startswith("crashes: TypeError: can only concatenate str")
    assert lines[-1].startswith(f"{len(BATTERY)} shapes: ")


def test_show_as_json_is_one_document(run: Any, tmp_path: Path):
    ran = run("show", model(tmp_path / "mine"), "--output-format", "json", "--chat-template-kwargs", '{"think": true}')
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert found["generation_prompt"] == "<|im_start|>assistant\n<think>\n"
    assert (found["stop_token"], found["options"]) == ("<|im_end|>", ["think"])
    assert (found["template"]["official"], found["added_tokens"]["<tool_call>"]) == (None, 261)
    shapes = {shape.pop("name"): shape for shape in found["shapes"]}
    assert shapes["unknown role"] == {
        "group": "roles",
        "outcome": "rendered",
        "failure": None,
        "fates": {"drops": ["messages[1].content"]},
        "turns": [2],
        "unstable_in_text": [2],
        "unstable_in_tokens": [2],
    }


def test_show_of_a_lone_file_and_of_a_family(run: Any, tmp_path: Path):
    (tmp_path / "mine.jinja").write_text(TEMPLATE)
    ran = run("show", "mine.jinja")
    assert (ran.code, "special tokens  not known\nadded tokens    not known\n" in ran.out) == (0, True)
    ran = run("show", "qwen3")
    assert ran.code == 0
    assert ran.out.splitlines()[0].endswith(", official template of qwen3")
    assert "refused: messages[0].content is list" in ran.out


def test_hostile_template_cannot_speak_to_the_terminal(run: Any, tmp_path: Path):
    (tmp_path / "bad.jinja").write_text("{{ raise_exception('\x1b]0;owned\x07') }}")
    (tmp_path / "worse.jinja").write_text("\x1b[2J{{ messages[0].content }}\x1b[31m")
    for ran in (run("show", "bad.jinja"), run("diff", "bad.jinja", "worse.jinja"), run("check", "worse.jinja")):
        assert ran.code in (0, 1)
        assert "\x1b" not in ran.out + ran.err
        assert "\x07" not in ran.out + ran.err


# -- diff -------------------------------------------------------------------------------------------------------------


def test_same_template_but_for_a_final_newline_is_the_same(run: Any, tmp_path: Path):
    names = model(tmp_path / "a"), model(tmp_path / "b", TEMPLATE.removesuffix("\n"))
    ran = run("diff", *names)
    assert (ran.code, ran.out) == (
        0,
        f"templates: the same\n\ntokenizers: the same\n\nshapes: 0 of {len(BATTERY)} are printed differently\n",
    )


def test_edited_template_shows_its_lines_and_the_shapes_it_changes(run: Any, tmp_path: Path):
    edited = TEMPLATE.replace("tool|tojson", "tool.function|tojson")
    ran = run("diff", model(tmp_path / "a"), model(tmp_path / "b", edited), "--output-format", "json")
    found = json.loads(ran.out)
    assert (ran.code, found["same_template"], found["tokenizer"]) == (1, False, [])
    assert [line for line in found["diff"] if line.startswith(("-", "+"))] == [
        *("--- a", "+++ b"),
        "-{%- for tool in tools %}{{- tool|tojson + '\\n' }}{% endfor %}{{- '<|im_end|>\\n' }}{% endif %}",
        "+{%- for tool in tools %}{{- tool.function|tojson + '\\n' }}{% endfor %}{{- '<|im_end|>\\n' }}{% endif %}",
    ]
    printed = {one["name"] for one in found["shapes"]}
    assert printed < {shape.name for shape in BATTERY if shape.tools}
    (one,) = (one for one in found["shapes"] if one["name"] == "one tool")
    assert one["a"].startswith('\'|im_start|>system\\n{"type": "function"')
    assert one["b"].startswith('\'|im_start|>system\\n{"name": "get_weather"')
    ran = run("diff", "a", "b")
    assert ran.code == 1
    assert f"shapes: {len(found['shapes'])} of {len(BATTERY)} are printed differently" in ran.out


def test_same_template_with_another_tokenizer_is_told(run: Any, tmp_path: Path):
    added = tokenizer()["added_tokens"]
    added[1]["id"], added[2]["id"] = added[2]["id"], added[1]["id"]
    ran = run("diff", model(tmp_path / "a"), model(tmp_path / "b", eos="<|endoftext|>", added_tokens=added))
    assert (ran.code, ran.out.splitlines()[:6]) == (
        1,
        [
            "templates: the same",
            "",
            "tokenizers: 3 differences",
            "  error  added_tokens['<|im_start|>'].id: locked 259, found 260; a model reads it as another token",
            "  error  added_tokens['<|im_end|>'].id: locked 260, found 259; a model reads it as another token",
            "  error  special_tokens.eos_token: locked '<|im_end|>', found '<|endoftext|>'; "
            "a server stops at it, so it must be the trained stop token",
        ],
    )


def test_lone_file_has_no_tokenizer_to_compare(run: Any, tmp_path: Path):
    (tmp_path / "mine.jinja").write_text(TEMPLATE)
    ran = run("diff", model(tmp_path / "a"), "mine.jinja")
    assert ran.code == 0
    assert "tokenizers: not compared: mine.jinja has no tokenizer.json\n" in ran.out


@needs_real_data
@pytest.mark.parametrize("family", sorted(name for name in families() if (MODELS / name).is_dir()))
def test_family_prints_every_shape_as_its_official_template_does(run: Any, family: str):
    ran = run("diff", family, str(MODELS / family))
    assert ran.out.splitlines()[0] == "templates: the same"
    assert ran.out.splitlines()[-1] == f"shapes: 0 of {len(BATTERY)} are printed differently"
    assert ran.code == 0


# -- check ------------------------------------------------------------------------------------------------------------

ROWS = (
    *("template identity", "special-token ids", "role order", "call ids", "parser round trip", "prefix in text"),
    *("prefix in tokens", "generation prompt"),
)


def test_check_has_a_row_for_each_line_of_the_checklist(run: Any, tmp_path: Path):
    ran = run("check", model(tmp_path / "mine"))
    found = rows(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert [name for _, name, _ in found] == list(ROWS)
    status = {name: (status, says) for status, name, says in found}
    assert status["template identity"][0] == "warning"
    assert "nobody's official template; nearest is qwen" in status["template identity"][1]
    assert status["special-token ids"] == (
        "ok",
        "stop token <|im_end|>; ids: <|im_start|> 259, <|im_end|> 260, <tool_call> 261, </tool_call> 262",
    )
    assert status["role order"] == (
        "warning",
        "system late: printed; developer first: printed; unknown role: drops it; users in a row: printed; "
        "assistants in a row: printed; assistant first: printed; result first: printed; results in a row: printed; "
        "system, assistant: printed",
    )
    assert status["call ids"][1].startswith("not printed: results are matched to calls by position")
    assert status["parser round trip"] == ("ok", f"{VLLM} --tool-call-parser hermes: {BACK}")
    assert status["prefix in text"][0] == status["prefix in tokens"][0] == "ok"
    assert status["generation prompt"] == ("ok", "'<|im_start|>assistant\\n'")


@pytest.mark.parametrize(
    ("edit", "name", "says"),
    [
        (("'<|im_end|>\\n' }}\n{%- endfor", "'\\n' }}\n{%- endfor"), "special-token ids", "writes no stop token"),
        (("if add_generation_prompt", "if false"), "generation prompt", "appends nothing"),
        (('{"name"', '{"function"'), "parser round trip", "--tool-call-parser hermes: call 1 'try_all' is lost"),
        (("<|im_start|>' +", "<|turn_start|>' +"), "special-token ids", "prints <|turn_start|>, which the tokenizer"),
    ],
)
def test_template_that_cannot_be_served_is_an_error(
    run: Any, tmp_path: Path, edit: tuple[str, str], name: str, says: str
):
    assert edit[0] in TEMPLATE
    ran = run("check", model(tmp_path / "mine", TEMPLATE.replace(*edit)))
    errors = [(row, text) for status, row, text in rows(ran.out) if status == "error"]
    assert ran.code == 1
    assert any(row == name and says in text for row, text in errors), errors


def test_server_that_would_not_stop_is_an_error(run: Any, tmp_path: Path):
    folder = model(tmp_path / "mine", eos="<|endoftext|>")
    (tmp_path / "mine" / "generation_config.json").write_text('{"eos_token_id": [258]}')
    ran = run("check", folder, "--output-format", "json")
    assert ran.code == 1
    assert [row for row in json.loads(ran.out)["rows"] if row["status"] == "error"] == [
        {"name": "special-token ids", "status": "error", "says": says}
        for says in (
            "turns end with <|im_end|>, and tokenizer_config.json has eos_token '<|endoftext|>': "
            "a server would not stop there",
            "turns end with <|im_end|> (260), and generation_config.json has eos_token_id 258: "
            "a server would not stop there",
        )
    ]
    (tmp_path / "mine" / "generation_config.json").write_text('{"eos_token_id": [260, 258]}')
    (tmp_path / "mine" / "tokenizer_config.json").write_text('{"eos_token": {"content": "<|im_end|>"}}')
    assert run("check", folder).code == 0


@needs_real_data
def test_calls_are_read_back_by_the_server_that_is_named(run: Any):
    folder = str(MODELS / "qwen3_coder")
    found = {name: (status, says) for status, name, says in rows(run("check", folder, "--serve", "sglang").out)}
    assert found["parser round trip"] == ("ok", f"sglang 0.5.23, --tool-call-parser qwen3_coder: {BACK}")
    ran = run("check", folder, "--serve", "vllm:0.33/hermes")
    (error,) = (row for row in rows(ran.out) if row[0] == "error")
    assert ran.code == 1
    assert error[1] == "parser round trip"
    assert "reads no calls of a model that is served with 'qwen3_coder'; parsers for it are" in error[2]
    ran = run("check", folder, "--serve", "tgi")
    assert (ran.code, ran.out, ran.err[:27]) == (2, "", "qwen-sft: serve is 'tgi'; i")


def test_prompt_that_the_history_does_not_repeat_is_a_warning(run: Any, tmp_path: Path):
    ran = run("check", model(tmp_path / "mine"), "--chat-template-kwargs", '{"think": true}')
    found = {name: (status, says) for status, name, says in rows(ran.out)}
    assert ran.code == 0
    assert found["prefix in text"][0] == "warning"
    assert "so such turns need rows of their own: user, assistant; three queries" in found["prefix in text"][1]
    assert found["generation prompt"] == ("ok", "'<|im_start|>assistant\\n<think>\\n'; it opens a think block")


def test_check_against_what_is_served_names_each_difference(run: Any, tmp_path: Path):
    trained = model(tmp_path / "trained")
    ran = run("check", trained, "--against", model(tmp_path / "same"))
    assert (ran.code, rows(ran.out)[-1]) == (0, ("ok", "same against trained", "no fingerprint differs"))
    served = model(tmp_path / "served", TEMPLATE.replace("'\\n' + (", "'\\n ' + ("), eos="<|endoftext|>")
    ran = run("check", trained, "--against", served, "--output-format", "json")
    found = json.loads(ran.out)["differences"]
    assert ran.code == 1
    assert [(one["locked_by"], one["found_in"], one["field"], one["found"]) for one in found[1:]] == [
        ("trained", "served", "special_tokens.eos_token", "<|endoftext|>")
    ]
    assert (found[0]["field"], found[0]["severity"]) == ("template.sha256", "error")


def test_check_holds_training_and_serving_to_a_lock(run: Any, tmp_path: Path):
    trained, served = model(tmp_path / "trained"), model(tmp_path / "served")
    assert run("lock", trained, "--out", "dataset.lock.json", "--thinking", "off").code == 0
    ran = run("check", trained, "--lock", "dataset.lock.json", "--against", served)
    assert (ran.code, [row[1] for row in rows(ran.out)[-2:]]) == (
        0,
        ["trained against dataset.lock.json", "served against dataset.lock.json"],
    )
    ran = run("check", served, "--lock", "dataset.lock.json", "--chat-template-kwargs", '{"think": true}')
    assert (ran.code, rows(ran.out)[-1]) == (
        1,
        (
            "error",
            "served against dataset.lock.json",
            "options.chat_template_kwargs.think: locked None, found True; the template prints something else; "
            "give both the same --chat-template-kwargs",
        ),
    )


@needs_real_data
@pytest.mark.parametrize(
    ("family", "name", "row"),
    [
        ("qwen3", "template identity", ("ok", "official template of qwen3")),
        ("qwen3", "parser round trip", ("ok", f"{VLLM} --tool-call-parser hermes --reasoning-parser qwen3: {BACK}")),
        (
            "qwq",
            "parser round trip",
            ("ok", f"{VLLM} --tool-call-parser hermes --reasoning-parser deepseek_r1: {BACK}"),
        ),
        ("qwen3_5", "template identity", ("ok", "official template of qwen3_5")),
        ("qwen3_5", "generation prompt", ("ok", "'<|im_start|>assistant\\n<think>\\n'; it opens a think block")),
        (
            "qwen3_coder",
            "parser round trip",
            (
                "warning",
                f"{VLLM} --tool-call-parser qwen3_coder: call 1 'try_all': argument nothing: written None (null), "
                "but the server reads 'None' (string), because the model's template prints Python's None, "
                "which is no JSON",
            ),
        ),
    ],
)
def test_official_models_pass_with_what_is_known_of_them(run: Any, family: str, name: str, row: tuple[str, str]):
    ran = run("check", str(MODELS / family))
    assert ran.code == 0
    found = {name: (status, says) for status, name, says in rows(ran.out)}
    assert found[name] == row


# -- lock -------------------------------------------------------------------------------------------------------------


def test_lock_is_written_where_it_is_asked_for(run: Any, tmp_path: Path):
    folder = model(tmp_path / "mine")
    ran = run("lock", folder)
    assert (ran.code, ran.out, ran.err) == (0, "qwen-sft.lock.json\n", "")
    written = json.loads((tmp_path / "qwen-sft.lock.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(written)
    ran = run("lock", folder, "--out", folder, "--chat-template-kwargs", '{"think": true}')
    assert ran.out == "mine/qwen-sft.lock.json\n"
    again = json.loads((tmp_path / "mine" / "qwen-sft.lock.json").read_text())
    assert again == {**written, "options": {"chat_template_kwargs": {"think": True}, "thinking": "auto"}}


# -- what stops us ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "qwen9"], "no model 'qwen9': it is no folder, no hub id"),
        (["show", "qwen3", "--output-format", "xml"], "no output format 'xml'; it can be full, json"),
        (["diff", "qwen3", "qwen9"], "no model 'qwen9'"),
        (["check", "qwen3", "--lock", "nowhere.json"], "no lock 'nowhere.json' (No such file or directory)"),
        (
            ["show", "mine.jinja", "--chat-template-kwargs", '{"thinks": true}'],
            "the chat template of mine.jinja has no option 'thinks': it knows think",
        ),
        (["lock", "mine.jinja"], "mine.jinja has no tokenizer.json, and a lock holds a template and its tokenizer"),
        (["show", "no.jinja"], "the chat template is no Jinja: line 1"),
    ],
)
def test_what_stops_us_is_one_line_on_stderr_and_exit_code_two(
    run: Any, tmp_path: Path, arguments: list[str], says: str
):
    (tmp_path / "mine.jinja").write_text(TEMPLATE)
    (tmp_path / "no.jinja").write_text("{% if %}")
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"qwen-sft: {says}")
    assert ran.err.count("\n") == 1


def test_misspelled_command_exits_with_two(run: Any):
    assert run("sho", "qwen3").code == 2
    assert run("show").code == 2
