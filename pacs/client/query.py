"""Query as SCU, for a person at the command line."""

from collections.abc import Iterable, Sequence

from apps.qr import scu
from apps.qr.attributes import FIND, InformationModel
from dicom.dictionary import keyword
from dicom.dimse import Failed
from dicom.encoding import ElementIn, Identifier
from pacs.client.report import Report
from pacs.client.target import Caller


def find(
    caller: Caller,
    report: Report,
    *,
    model: InformationModel,
    keys: Sequence[ElementIn],
    shown: Iterable[int],
    limit: int = 0,
) -> bool:
    """Answers as a table of the `shown` tags, or one JSON object each with the keywords as names."""
    answers: list[Identifier] = []
    failed: Failed | None = None
    with caller.associate(scu.contexts(FIND[model])) as assoc:
        try:
            for answer in scu.find(assoc, model, keys, limit=limit):
                answers.append(answer)
                if report.as_json:
                    report.record(**as_fields(answer))
        except Failed as error:
            failed = error
    if answers and not report.as_json:
        _show(report, list(dict.fromkeys(shown)), answers)
    number = "1 answer" if len(answers) == 1 else f"{len(answers)} answers"
    report.say(f"{number}; {failed}" if failed else number)
    if failed:
        report.record("", status=f"{failed.status:04X}", error=str(failed))
    return failed is None


def _show(report: Report, columns: Sequence[int], answers: Sequence[Identifier]) -> None:
    report.table([name(tag) for tag in columns], [[_cell(answer, tag) for tag in columns] for answer in answers])


def _cell(answer: Identifier, tag: int) -> str:
    items = answer.items(tag)
    if not items:
        return answer.text(tag)
    return "; ".join(", ".join(f"{name(part)}={item.text(part)}" for part in item.elements) for item in items)


def as_fields(answer: Identifier) -> dict[str, object]:
    return {
        name(tag): [as_fields(item) for item in element.items] if element.items is not None else answer.text(tag)
        for tag, element in answer.elements.items()
    }


def name(tag: int) -> str:
    return keyword(tag) or f"{tag >> 16:04X},{tag & 0xFFFF:04X}"
