"""Medians, ratios and spread as a Markdown table."""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one contender: units of work in a second, and what the measured program used for it."""

    rate: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Result:
    """All runs of a scenario; sample n of every contender is of the same round."""

    title: str
    unit: str
    baseline: str
    samples: dict[str, list[Sample]]

    def ratios(self, contender: str) -> list[float]:
        """To the baseline, round by round, so that a noisy minute spoils both sides of a fraction."""
        pairs = zip(self.samples[contender], self.samples.get(self.baseline, ()), strict=False)
        return [ours.rate / theirs.rate for ours, theirs in pairs]


@dataclass(frozen=True, slots=True)
class Idle:
    """A server at rest."""

    name: str
    processes: int
    resident_bytes: int
    cpu_share: float


HEAD = (
    "| | rate, median (min to max) | ratio, median (min to max) | CPU s/run | peak memory |",
    "|---|---:|---:|---:|---:|",
)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def rows(result: Result) -> Iterator[str]:
    yield f"| **{result.title}**, {result.unit} | | | | |"
    for contender, samples in result.samples.items():
        rates = [sample.rate for sample in samples]
        ratios = result.ratios(contender)
        ratio = "1" if contender == result.baseline else "-"
        if ratios and contender != result.baseline:
            ratio = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        cpu = median(sample.cpu_seconds for sample in samples)
        peak = max(sample.peak_bytes for sample in samples)
        yield (
            f"| {contender} | {number(median(rates))} ({number(min(rates))} to {number(max(rates))}) | {ratio} "
            f"| {f'{cpu:.2f}' if cpu else '-'} | {f'{peak / 2**20:.0f} MiB' if peak else '-'} |"
        )


def machine() -> str:
    """The machine in a line."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    model = models[0] if models else platform.machine()
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{len(models)} x {model}, {memory:.0f} GiB, {system}"


def idle_rows(idle: Sequence[Idle]) -> Iterator[str]:
    yield "| at rest | processes | memory | CPU |"
    yield "|---|---:|---:|---:|"
    for row in idle:
        yield f"| {row.name} | {row.processes} | {row.resident_bytes / 2**20:.0f} MiB | {row.cpu_share:.1%} |"
