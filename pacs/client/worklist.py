"""Modality Worklist as SCU, for a person at the command line: what a remote worklist has, and its import."""

from collections import Counter
from collections.abc import Iterable, Sequence

from apps.accounts.principal import system
from apps.worklist import importing, scu
from apps.worklist.importing import Outcome
from dicom.encoding import ElementIn, Identifier
from pacs.client import query
from pacs.client.keys import Path
from pacs.client.report import Report
from pacs.client.target import Caller

EVERYTHING = scu.EVERYTHING


def path(typed: Path) -> Path:
    """Of a step's key that was named without its sequence."""
    return scu.IN_STEP.get(typed, typed)


def find(
    caller: Caller, report: Report, *, keys: Sequence[ElementIn], shown: Iterable[Path], limit: int, take: bool
) -> bool:
    """Answers as a table of what is `shown`, or one JSON object each; with `take` they become orders of ours."""
    with caller.associate(scu.CONTEXTS) as assoc:
        answers, good = query.tell(report, scu.find(assoc, keys, limit=limit), shown)
    return _take(report, answers) and good if take else good


def _take(report: Report, answers: Sequence[Identifier]) -> bool:
    counted: Counter[str] = Counter()
    for answer in answers:
        for line in importing.lines(answer, principal=system("import_worklist")):
            counted[line["outcome"]] += 1
            report.record(importing.as_text(line), **line)
    report.say(importing.total(counted))
    return not counted[Outcome.CONFLICT] and not counted[Outcome.UNREADABLE]
