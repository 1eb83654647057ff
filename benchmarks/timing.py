"""Wall and processor seconds of steps that take turns, so that a busy machine is busy for each of them."""

import gc
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spent:
    """What a step took by its own clocks: seconds."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Timed:
    """The rounds of one step; `cpu` counts every thread, and children that have ended."""

    wall: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])

    @property
    def median(self) -> float:
        """Wall seconds."""
        return statistics.median(self.wall)

    @property
    def median_cpu(self) -> float:
        """Processor seconds."""
        return statistics.median(self.cpu)


def alternate(steps: Mapping[str, Callable[[], object]], rounds: int, warm_ups: int = 1) -> dict[str, Timed]:
    """Runs all steps once per round, A B A B; the first rounds warm up and are not counted."""
    timed = {name: Timed() for name in steps}
    for number in range(-warm_ups, rounds):
        for name, step in steps.items():
            took = spent(step)
            if number >= 0:
                timed[name].wall.append(took.wall)
                timed[name].cpu.append(took.cpu)
    return timed


def paired_ratio(slower: Timed, faster: Timed) -> float:
    """How many times longer one step took than the other: the median over rounds, each against its neighbour."""
    return statistics.median(a / b for a, b in zip(slower.wall, faster.wall, strict=True))


def paired_cpu_ratio(slower: Timed, faster: Timed) -> float:
    """The same for processor seconds, which say what a step costs when other work wants the cores."""
    return statistics.median(a / b for a, b in zip(slower.cpu, faster.cpu, strict=True))


def spent(step: Callable[[], object]) -> Spent:
    """What a step takes; one that gives what it has spent by its own clocks, in another process say, is believed."""
    gc.collect()
    wall, cpu = time.perf_counter(), _cpu()
    done = step()
    wall, cpu = time.perf_counter() - wall, _cpu() - cpu
    return done if isinstance(done, Spent) else Spent(wall, cpu)


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)  # not os.times(), which counts in steps of 10 ms
    return time.process_time() + children.ru_utime + children.ru_stime
