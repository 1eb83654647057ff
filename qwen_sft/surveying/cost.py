"""What an epoch costs in time of a GPU, estimated; no prices."""

import re
from dataclasses import dataclass

from qwen_sft.errors import UsageError

SIZES = (0.6e9, 1.7e9, 4e9, 8e9, 14e9, 32e9)
"""Parameters of the dense models of Qwen3, for which the estimate is made where nobody names a number."""

FORMULA = "6 · parameters · tokens · epochs / (peak FLOP/s · utilisation) / 3,600"
_UNITS = {"": 1.0, "M": 1e6, "B": 1e9, "T": 1e12}


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the estimate rests on.

    Attributes:
        epochs: how often each token is seen.
        peak: what the GPU could do, in FLOP/s: by default an H100's dense BF16.
        utilisation: the share of it that training reaches (MFU), above 0 and at most 1.
        parameters: of the model, those that are active for a token; empty: SIZES.
    """

    epochs: float = 3.0
    peak: float = 989e12
    utilisation: float = 0.4
    parameters: float | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """The estimate for one size of model: hours of one GPU for all epochs."""

    parameters: float
    gpu_hours: float


def costs(n_tokens: int, assumed: Assumed) -> list[Cost]:
    """The hours of one GPU that training on so many tokens an epoch takes, for each size of model.

    A forward and a backward pass take six operations a parameter and token; attention over long rows takes more, and is
    not counted, nor are padding and recomputation.
    """
    sizes = SIZES if assumed.parameters is None else (assumed.parameters,)
    return [Cost(n, 6 * n * n_tokens * assumed.epochs / (assumed.peak * assumed.utilisation) / 3600) for n in sizes]


def parameters(text: str) -> float:
    """The number that `8B`, `600M` or `8e9` stands for.

    Raises:
        UsageError: it stands for none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?(?:[eE]\d+)?)\s*([MBTmbt]?)", text.strip())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"--parameters {text!r} is no number of parameters; write for example 8B, 600M or 8e9")
    return float(match[1]) * _UNITS[match[2].upper()]


def size_name(n: float) -> str:
    """A number of parameters as people name it: `8B`."""
    return f"{n / 1e9:g}B" if n >= 1e9 or n == 6e8 else f"{n / 1e6:g}M"


def hours(value: float) -> str:
    """Hours for people: `12.3`, `0.0021`, `1,230`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
