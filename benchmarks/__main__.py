"""`python -m benchmarks`: run the scenarios, print the table."""

import argparse
import fnmatch
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import dicomweb, scenarios
from benchmarks.data import ImageSet
from benchmarks.lab import QUICK, Contender, Lab, Scenario, Size
from benchmarks.peers import Server
from benchmarks.processes import debian, version
from benchmarks.report import HEAD, Idle, Result, Sample, idle_rows, machine, rows

# Last those for which twenty thousand studies are loaded: with them Orthanc takes many times as long to find an image.
SCENARIOS = dict(
    sorted(
        {**scenarios.SCENARIOS, **dicomweb.SCENARIOS}.items(), key=lambda item: "find" in item[0] or "qido" in item[0]
    )
)


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--scenarios", nargs="*", default=["*"], metavar="NAME", help=f"names or patterns of: {' '.join(SCENARIOS)}"
    )
    parser.add_argument("--runs", type=int, help="rounds of each scenario (7)")
    parser.add_argument("--quick", action="store_true", help="little work and two rounds, to see that everything runs")
    parser.add_argument("--servers", nargs="*", default=["pacs", "orthanc"], choices=["pacs", "orthanc"])
    parser.add_argument(
        "--database", default="", metavar="URL", help="DATABASE_URL of our server; SQLite when not given"
    )
    parser.add_argument("--folder", type=Path, help="where servers and images live during the run (a temporary folder)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    return parser.parse_args(arguments)


def measure(contender: Contender, sets: Sequence[ImageSet], amount: float) -> Sample:
    program = contender.program
    os.sync()
    if program is None:
        elapsed = contender.work(sets)
        return Sample(amount / elapsed.seconds, elapsed.cpu_seconds, 0)
    program.settle()
    program.forget_peak()
    before = program.cpu_seconds()
    elapsed = contender.work(sets)
    program.settle()
    sample = Sample(amount / elapsed.seconds, program.cpu_seconds() - before, program.peak_bytes())
    contender.check(sets)
    return sample


def play(scenario: Scenario, runs: int) -> Result:
    """All rounds of a scenario; who begins changes from round to round."""
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in scenario.contenders}
    for number in range(runs):
        sets = scenario.prepare()
        first = number % len(scenario.contenders)
        for contender in scenario.contenders[first:] + scenario.contenders[:first]:
            samples[contender.name].append(measure(contender, sets, scenario.amount))
    return Result(title=scenario.title, unit=scenario.unit, baseline=scenario.baseline, samples=samples)


def at_rest(server: Server, seconds: float) -> Idle:
    server.program.settle()
    before = server.program.cpu_seconds()
    time.sleep(seconds)
    share = (server.program.cpu_seconds() - before) / seconds
    return Idle(server.name, len(server.program.tree()), server.program.resident_bytes(), share)


def main(arguments: Sequence[str]) -> int:
    chosen = options(arguments)
    names = [name for name in SCENARIOS if any(fnmatch.fnmatch(name, pattern) for pattern in chosen.scenarios)]
    runs = chosen.runs or (2 if chosen.quick else 7)
    lines: list[str] = []

    def say(more: Iterable[str]) -> None:
        for line in more:
            print(line, flush=True)
            lines.append(line)

    with tempfile.TemporaryDirectory(prefix="pacs-benchmarks-", dir=chosen.folder) as folder:
        lab = Lab(Path(folder), QUICK if chosen.quick else Size(), frozenset(chosen.servers), chosen.database)
        try:
            idle = [at_rest(server, 2 if chosen.quick else 15) for server in lab.archives]
            peers = f"{version(debian('Orthanc'))}, {version(debian('storescu'))}"
            say([f"{machine()}; {runs} interleaved runs, loopback; {peers}.", "", *HEAD])
            for name in names:
                say(rows(play(SCENARIOS[name](lab), runs)))
            say(["", *idle_rows(idle)])
        finally:
            lab.stop()
    if chosen.markdown:
        chosen.markdown.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
