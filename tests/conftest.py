"""What tests of the command line ask for."""

from collections.abc import Callable
from pathlib import Path

import pytest
from command import Ran
from hypothesis import HealthCheck, settings

from qwen_sft.cli import main

# A busy machine is no fault of a test: hypothesis without its clocks, and in CI derandomized as it is by itself.
settings.register_profile(
    "without clocks", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("without clocks")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Ran]:
    """Runs a command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def running(*arguments: str) -> Ran:
        monkeypatch.setattr("sys.argv", ["qwen-sft", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert isinstance(stop.value.code, int)
        return Ran(stop.value.code, *capfd.readouterr())

    return running
