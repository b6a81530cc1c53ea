"""Query as SCU, for a person at the command line."""

from collections.abc import Iterable, Iterator, Sequence

from apps.qr import scu
from apps.qr.attributes import FIND, InformationModel
from dicom.dictionary import keyword
from dicom.dimse import Failed
from dicom.encoding import ElementIn, Identifier
from pacs.client.keys import Path
from pacs.client.report import Report
from pacs.client.target import Caller


def find(
    caller: Caller,
    report: Report,
    *,
    model: InformationModel,
    keys: Sequence[ElementIn],
    shown: Iterable[Path],
    limit: int = 0,
) -> bool:
    """Answers as a table of what is `shown`, or one JSON object each with the keywords as names."""
    with caller.associate(scu.contexts(FIND[model])) as assoc:
        return tell(report, scu.find(assoc, model, keys, limit=limit), shown)[1]


def tell(report: Report, found: Iterator[Identifier], shown: Iterable[Path]) -> tuple[list[Identifier], bool]:
    """The answers, and whether those are all."""
    answers: list[Identifier] = []
    failed: Failed | None = None
    try:
        for answer in found:
            answers.append(answer)
            if report.as_json:
                report.record(**as_fields(answer))
    except Failed as error:
        failed = error
    if answers and not report.as_json:
        columns = list(dict.fromkeys(shown))
        rows = [[_cell(answer, path) for path in columns] for answer in answers]
        report.table([name(path[-1]) for path in columns], rows)
    number = "1 answer" if len(answers) == 1 else f"{len(answers)} answers"
    report.say(f"{number}; {failed}" if failed else number)
    if failed:
        report.record("", status=f"{failed.status:04X}", error=str(failed))
    return answers, failed is None


def _cell(answer: Identifier, path: Path) -> str:
    tag, *below = path
    items = answer.items(tag)
    if not items:
        return answer.text(tag)
    if below:
        return "; ".join(_cell(item, tuple(below)) for item in items)
    return "; ".join(", ".join(f"{name(part)}={item.text(part)}" for part in item.elements) for item in items)


def as_fields(answer: Identifier) -> dict[str, object]:
    return {
        name(tag): [as_fields(item) for item in element.items] if element.items is not None else answer.text(tag)
        for tag, element in answer.elements.items()
    }


def name(tag: int) -> str:
    return keyword(tag) or f"{tag >> 16:04X},{tag & 0xFFFF:04X}"
