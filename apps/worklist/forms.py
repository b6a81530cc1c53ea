"""What a form says -> an order; a step, a patient or a template -> what a form says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from apps.worklist import codes, plain
from apps.worklist.attributes import BY_NAME, Level
from apps.worklist.fields import CODE_PARTS, FIELDS, GROUPS, Field, read, written
from apps.worklist.models import ProcedureTemplate, ScheduledProcedureStep, WorklistPatient
from apps.worklist.order import InvalidOrder, Order, checked
from dicom.values import parse_date, parse_time

Texts = dict[str, str]  # of controls, by their names

CONTROLS: Final = tuple(name for each in FIELDS.values() for name in each.names)
PLAIN_PARTS: Final = {"value": "code_value", "scheme": "coding_scheme_designator", "meaning": "code_meaning"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """`was`: what it said when somebody began to change it."""

    texts: Texts = field(default_factory=dict)
    was: Texts = field(default_factory=dict)
    version: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def sent(cls, post: Mapping[str, str]) -> Self:
        return cls(
            texts={name: post.get(name, "") for name in CONTROLS},
            was=_was(post.get("was", "")),
            version=post.get("version", ""),
        )

    @classmethod
    def of_step(cls, step: ScheduledProcedureStep) -> Self:
        texts = texts_of(plain.row(step))
        return cls(texts=texts, was=texts, version=step.version)

    @property
    def was_json(self) -> str:
        return json.dumps(self.was)

    @property
    def groups(self) -> list[dict[str, Any]]:
        """For the template. What is seldom said is open where something is said or wrong."""
        return [
            {
                "title": group.title,
                "fields": [self._control(each) for each in group.fields],
                "more": [self._control(each) for each in group.more],
                "open": any(each.name in self.errors for each in group.more),
                "said": sum(any(self.texts.get(name) for name in each.names) for each in group.more),
            }
            for group in GROUPS
        ]

    @property
    def problems(self) -> list[dict[str, Any]]:
        """For the summary, in the order of the fields; what belongs to none comes first."""
        named = {name: error for name, error in self.errors.items() if name in FIELDS}
        found: list[dict[str, Any]] = [
            {"label": "", "error": error} for name, error in self.errors.items() if name not in FIELDS
        ]
        return found + [
            {"label": each.label, "error": named[each.name], "control": each.names[0]}
            for each in FIELDS.values()
            if each.name in named
        ]

    def changed(self) -> set[str]:
        """Controls that say something else than at first."""
        return {name for name in CONTROLS if not _same(self.texts.get(name, ""), self.was.get(name, ""))}

    def order(self, step: ScheduledProcedureStep | None = None) -> Order:
        """Of a new step all that is said; of one that is there, what is said otherwise than it was. Raises
        InvalidOrder."""
        document: dict[str, Any] = {}
        errors: dict[str, str] = {}
        changed = self.changed()
        for each in FIELDS.values():
            empty = not any(self.texts.get(name, "").strip() for name in each.names)
            if each.required and empty and not (step and changed.isdisjoint(each.names)):
                errors[each.name] = "is needed"
            if changed.isdisjoint(each.names) or each.name in errors:
                continue
            try:
                document[each.name] = self._value(each, step)
            except ValueError as error:
                errors[each.name] = str(error)
        try:
            order = checked(plain.order(document))
        except InvalidOrder as error:
            errors |= error.errors
        if errors:
            raise InvalidOrder(errors)
        return order

    def _value(self, each: Field, step: ScheduledProcedureStep | None) -> Any:
        if each.kind != "code":
            return read(each.kind, self.texts.get(each.name, ""))
        code = code_of({part: self.texts.get(f"{each.name}-{part}", "").strip() for part in CODE_PARTS})
        others = plain.row(step)[each.name][1:] if step else []
        return [*code, *others]

    def _control(self, each: Field) -> dict[str, Any]:
        text = self.texts.get(each.name, "")
        return {
            "field": each,
            "text": text,
            "type": _type(each.kind, text),
            "known": text in each.choices,
            "parts": [
                {"name": f"{each.name}-{part}", "label": label, "text": self.texts.get(f"{each.name}-{part}", "")}
                for part, label in (CODE_PARTS.items() if each.kind == "code" else ())
            ],
            "error": self.errors.get(each.name, ""),
        }


def code_of(parts: Mapping[str, str]) -> list[dict[str, str]]:
    """The code that the three controls say, if they say one. Raises ValueError."""
    code = {PLAIN_PARTS[part]: text for part, text in parts.items() if text}
    if code and not (parts["value"] and parts["meaning"]):
        raise ValueError("a code needs a value and a meaning")
    if code and not parts["scheme"]:
        raise ValueError("a code needs a scheme, such as SCT, DCM or 99LOCAL")
    return [code] if code else []


def texts_of(document: Mapping[str, Any]) -> Texts:
    """Of a row as `plain` has it, or some of its attributes."""
    found: Texts = {}
    for name, value in document.items():
        each = FIELDS.get(name)
        if each is None:
            continue
        if each.kind == "code":
            first = value[0] if value else {}
            found |= {f"{name}-{part}": str(first.get(PLAIN_PARTS[part], "")) for part in CODE_PARTS}
        else:
            found[name] = written(each.kind, value)
    return found


def texts_of_patient(patient: WorklistPatient) -> Texts:
    return texts_of(
        {name: getattr(patient, name) for name, attribute in BY_NAME.items() if attribute.level is Level.PATIENT}
    )


def texts_of_template(template: ProcedureTemplate) -> Texts:
    names = (
        *("modality", "requested_procedure_description", "scheduled_procedure_step_description"),
        *("scheduled_station_ae_title", "duration_minutes"),
    )
    sequences = ("requested_procedure_code_sequence", "scheduled_protocol_code_sequence")
    return texts_of(
        {name: getattr(template, name) for name in names}
        | {name: [codes.shown(item) for item in getattr(template, name)] for name in sequences}
    )


def _type(kind: str, text: str) -> str:
    """Of the control: one for dates would not show what is none."""
    if kind == "date" and (not text or parse_date(text)):
        return "date"
    if kind == "time" and (not text or parse_time(text)):
        return "time"
    return "text"


def _was(text: str) -> Texts:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return {str(name): str(said) for name, said in found.items()} if isinstance(found, dict) else {}


def _same(text: str, other: str) -> bool:
    """Forms send lines with their own ends."""
    return text.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
