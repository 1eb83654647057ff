"""Near duplicates: what a signature is of, what an index finds, and that both are the same everywhere and always."""

import hashlib
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from strategies import samples

from qwen_sft.inspecting.near import ALIKE, N_BYTES, Index, plain, signature
from qwen_sft.sample import Sample

WORDS = [f"{first}{last}" for first in ("la", "mo", "ri", "ke", "su") for last in "abcdefghijklmnopqrst"]


def text(n_words: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=n_words))


def talk(asked: str, answer: str = "Done.", *, system: str = "", **more: Any) -> Sample:
    messages: list[Any] = [{"role": "system", "content": system}] if system else []
    messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"messages": messages, **more}


def calling(city: str, result: str, call_id: str) -> Sample:
    call: Any = {"id": call_id, "type": "function", "function": {"name": "weather", "arguments": {"city": city}}}
    messages: list[Any] = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "reasoning_content": "I look it up.", "tool_calls": [call]},
        {"role": "tool", "content": result, "tool_call_id": call_id},
    ]
    return {"messages": messages}


def near(first: Sample, second: Sample, threshold: float = ALIKE) -> bool:
    index = Index[str](threshold)
    assert index.add("first", signature(first)) is None
    return index.add("second", signature(second)) == "first"


# -- what is compared --------------------------------------------------------------------------------------------------


def test_conversation_with_one_small_difference_is_found():
    asked = text(60, 1)
    changed = asked.replace(asked.split()[30], "other")
    assert near(talk(asked), talk(changed))
    assert near(talk(asked), talk(asked, "Done, and gladly."))
    assert near(calling("Oslo", text(40, 2), "c1"), calling("Rome", text(40, 2), "c2"))


def test_what_many_samples_share_makes_none_alike():
    tools: Any = [{"type": "function", "function": {"name": "weather", "description": text(300, 3)}}]
    system = text(500, 4)
    first = talk(text(60, 5), system=system, tools=tools)
    assert not near(first, talk(text(60, 6), system=system, tools=tools))
    assert near(first, talk(text(60, 5), system=text(500, 7)))


def test_ids_case_punctuation_and_metadata_do_not_count():
    asked = text(20, 8)
    assert signature(talk(asked)) == signature(talk(asked.upper() + "?!", "done", id="x", metadata={"a": 1}))
    assert signature(calling("Oslo", "cold", "c1")) == signature(calling("Oslo", "cold", "c2"))


@pytest.mark.parametrize(
    "other",
    [
        calling("Rome", "cold", "c1"),
        calling("Oslo", "warm", "c1"),
        {"messages": [*calling("Oslo", "cold", "c1")["messages"], {"role": "assistant", "content": "Cold."}]},
    ],
)
def test_calls_results_and_turns_count(other: Sample):
    assert signature(calling("Oslo", "cold", "c1")) != signature(other)


def test_script_without_spaces_is_compared_by_its_characters():
    asked = "请用简短而友好的语言给所有住户写一张通知说明星期一上午八点到中午十二点停水因为地下室的旧水管需要更换"
    assert near(talk(asked), talk(asked.replace("星期一", "星期五")), threshold=0.7)
    assert not near(
        talk(asked), talk("今天天气很好我们一起去公园散步然后在湖边的小餐馆吃午饭你觉得怎么样"), threshold=0.5
    )


def test_sample_of_no_words_and_value_that_is_no_json_have_signatures():
    empty: Any = {"messages": []}
    broken = talk("half \ud83d of a pair")
    assert {len(signature(one)) for one in (empty, talk("", ""), broken)} == {N_BYTES}
    assert signature(broken) != signature(talk("another \ud83d of a pair"))
    assert plain({"a": [1, "b"]}) == plain({"a": [1, "b"]}) != plain({"a": [1], "b": []})


@given(samples())
@settings(max_examples=50, deadline=None)
def test_every_sample_is_a_near_duplicate_of_itself(sample: Sample):
    assert near(sample, sample, threshold=1)


# -- the index ---------------------------------------------------------------------------------------------------------


def runs_in_common(n_common: int, n_own: int, seed: int) -> tuple[Sample, Sample]:
    """Two samples of which so many words are common and, behind them, so many each has for itself."""
    common = " ".join(f"c{seed}x{n}" for n in range(n_common))
    first, second = (" ".join(f"{name}{seed}x{n}" for n in range(n_own)) for name in "ab")
    return talk(f"{common} {first}", ""), talk(f"{common} {second}", "")


@pytest.mark.parametrize(
    ("n_common", "n_own", "threshold", "least", "most"),
    [
        (950, 50, 0.8, 98, 100),  # 0.9 in common
        (850, 150, 0.8, 0, 15),  # 0.74
        (700, 300, 0.8, 0, 0),  # 0.54
        (850, 150, 0.6, 98, 100),
        (700, 300, 0.6, 0, 10),
    ],
)
def test_pairs_on_either_side_of_the_threshold(n_common: int, n_own: int, threshold: float, least: int, most: int):
    found = sum(near(*runs_in_common(n_common, n_own, seed), threshold=threshold) for seed in range(100))
    assert least <= found <= most


def test_first_of_several_is_named_and_only_those_unlike_are_kept():
    first, second = talk(text(60, 1)), talk(text(60, 2))
    index = Index[str]()
    added = [index.add(key, signature(one)) for key, one in (("a", first), ("b", second), ("c", first), ("d", first))]
    assert (added, len(index)) == ([None, None, "a", "a"], 2)
    assert [index.find(signature(one)) for one in (second, talk(text(60, 3)))] == ["b", None]


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_index_that_has_grown_finds_what_it_held_before(threshold: float):
    draw = random.Random(9)
    given = [draw.randbytes(N_BYTES) for _ in range(2500)]
    index = Index[int](threshold)
    assert [index.add(key, one) for key, one in enumerate(given)] == [None] * 2500
    assert [index.find(one) for one in given] == list(range(2500))


@pytest.mark.parametrize("threshold", [0.49, 1.01])
def test_threshold_that_cannot_be_held_is_refused(threshold: float):
    with pytest.raises(ValueError, match=rf"^threshold is {threshold}; it takes a share from 0\.5 to 1$"):
        Index(threshold)


# -- the same everywhere -----------------------------------------------------------------------------------------------

SAY = """
import hashlib
from qwen_sft.inspecting.near import signature
sample = {"messages": [{"role": "user", "content": " ".join(map(str, range(200)))}]}
print(hashlib.sha256(signature(sample) + signature(sample, seed=1)).hexdigest())
"""


def test_signature_is_the_same_in_every_process_and_stays_so():
    said = {
        subprocess.run(
            [sys.executable, "-c", SAY], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("0", "1")
    }
    sample: Any = {"messages": [{"role": "user", "content": " ".join(map(str, range(200)))}]}
    here = hashlib.sha256(signature(sample) + signature(sample, seed=1)).hexdigest()
    assert said == {here} == {"2457ba3c5c56519689926cc0d449769a4f0df723166fa74d3a8db0528b22e20c"}


def test_no_one_pays_for_it_who_does_not_look_for_near_duplicates():
    code = (
        "import sys, qwen_sft.cli, qwen_sft.inspecting.census; print(sorted({'rensa', 'numpy'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
