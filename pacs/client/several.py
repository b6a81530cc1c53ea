"""One query of several archives at once, for a person at the command line."""

from collections.abc import Mapping, Sequence

from apps.qr import asking
from apps.qr.asking import Answers
from dicom.dictionary import keyword
from pacs.client.keys import InvalidKey, Path
from pacs.client.report import Report
from pacs.client.target import Caller


def find(
    callers: Mapping[str, Caller],
    report: Report,
    *,
    level: str,
    keys: Sequence[tuple[Path, str]],
    shown: Sequence[str],
    limit: int,
    seconds: float,
) -> bool:
    """A line for each entity, with who has it; below them who said what. True if nobody failed."""
    question = asking.asked(level, _by_keyword(keys), limit or asking.MOST)
    archives = {name: caller.associate for name, caller in callers.items()}
    answers = asking.ask(archives, question, seconds=seconds)
    _tell(answers, report, list(dict.fromkeys([*shown, *question.keys])))
    for name, told in answers.told.items():
        number = "1 answer" if told.answers == 1 else f"{told.answers} answers"
        more = ", and more" if told.more else ""
        error = f"; {told.error}" if told.error else ""
        report.record(
            f"{name}: {number}{more}{error}", peer=name, answers=told.answers, more=told.more, error=told.error
        )
    return not any(told.error for told in answers.told.values())


def _tell(answers: Answers, report: Report, shown: Sequence[str]) -> None:
    if report.as_json:
        for found in answers.found:
            report.record("", **found.values, peers=list(found.archives))
    elif answers.found:
        rows = [[*(found.values.get(name, "") for name in shown), ", ".join(found.archives)] for found in answers.found]
        report.table([*shown, "Peers"], rows)


def _by_keyword(keys: Sequence[tuple[Path, str]]) -> dict[str, str]:
    named = {}
    for path, value in keys:
        name = keyword(path[0]) if len(path) == 1 else ""
        if not name:
            raise InvalidKey("Several archives at once are asked by keys of the standard, and none in sequences")
        named[name] = value
    return named
