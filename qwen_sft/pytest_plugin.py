"""`assert_valid_dataset` for pytest, which loads this file by itself wherever qwen-sft is installed.

So it imports nothing else of qwen-sft until a test asks for it.
"""

from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from qwen_sft.library.report import Report

MOST_SHOWN = 20
"""An assertion shows so many findings, the worst first, and counts all."""


class AssertValidDataset(Protocol):
    """The type of `assert_valid_dataset`, for tests that take the fixture."""

    def __call__(self, data: Any, **settings: Any) -> "Report": ...


def assert_valid_dataset(data: Any, **settings: Any) -> "Report":
    """Fails unless `qwen_sft.validate(data, **settings)` passes; the message has the worst findings and the counts.

    Args:
        data: what `qwen_sft.validate` takes: paths, records, a data set of `datasets`.
        settings: as there, such as `model="qwen3"` and `fail_on="warning"`.

    Returns:
        Report: for further assertions.

    Raises:
        AssertionError: findings that fail, or nothing was checked.
        QwenSftError: it could not run.
    """
    __tracebackhide__ = True
    from qwen_sft.library.report import validate

    report = validate(data, **settings)
    if not report.ok:
        raise AssertionError(_said(report))
    return report


def _said(report: "Report") -> str:
    if not report.totals.n_records:
        return f"nothing was checked: no record was read; name files that hold records\n{report.text()}"
    shown = report.text(max_findings=MOST_SHOWN, worst_first=True)
    return f"these traces do not pass (fail_on={report.settings.fail_on!r})\n{shown}"


@pytest.fixture(name="assert_valid_dataset")
def _fixture() -> AssertValidDataset:  # pyright: ignore[reportUnusedFunction]  # pytest calls it
    """Fails unless qwen_sft.validate(data, **settings) passes."""
    return assert_valid_dataset
