"""What the list of studies shows: filters of a URL -> a query -> a page of rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.utils.translation import gettext_lazy as _

from apps.accounts.principal import Principal
from apps.qr import rows
from apps.qr.attributes import BY_KEYWORD, InformationModel, Level
from apps.qr.query import Query, build
from dicom.errors import InvalidValue
from dicom.values import is_uid

PAGE: Final = 50
_LAST_PAGE: Final = 1 << 40
_MOST_SERIES: Final = 1000  # shown of a study
_WILDCARDS: Final = frozenset("*?")

# PS3.3 C.7.3.1.1.1, the ones seen most.
MODALITIES: Final = (
    *("CR", "CT", "DOC", "DX", "ECG", "ES", "IO", "MG", "MR", "NM", "OP", "OPT", "OT", "PR", "PT", "PX", "RF"),
    *("RTDOSE", "RTPLAN", "RTSTRUCT", "SC", "SEG", "SM", "SR", "US", "XA", "XC"),
)

# Orders that an index serves; none chosen: what the query is best walked in, the newest first if nothing else.
ORDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "": (),
    "name": ("patient__patient_name_key", "pk"),
    "-name": ("-patient__patient_name_key", "-pk"),
    "patient_id": ("patient__patient_id", "pk"),
    "-patient_id": ("-patient__patient_id", "-pk"),
    "date": ("study_date_value", "pk"),
    "-date": ("-study_date_value", "-pk"),
    "accession": ("accession_number", "pk"),
    "-accession": ("-accession_number", "-pk"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """Named as the index names its columns."""

    study_instance_uid: str
    patient_name: str
    patient_id: str
    patient_birth_date: str
    patient_sex: str
    study_date: str
    study_time: str
    accession_number: str
    modalities_in_study: str
    study_description: str
    referring_physician_name: str
    number_of_study_related_series: int
    number_of_study_related_instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRow:
    series_instance_uid: str
    modality: str
    series_number: str
    series_description: str
    body_part_examined: str
    series_date: str
    series_time: str
    number_of_series_related_instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """As the URL says it; text that is begun finds what begins with it."""

    name: str = ""
    patient_id: str = ""
    accession: str = ""
    modality: str = ""
    since: str = ""
    until: str = ""
    order: str = ""
    page: int = 1

    @classmethod
    def from_params(cls, params: Mapping[str, str]) -> "Filters":
        texts = {name: params.get(name, "").strip() for name in FIELDS}
        order = params.get("order", "")
        page = params.get("page", "")
        return cls(
            **texts,
            order=order if order in ORDERS else "",
            page=min(int(page), _LAST_PAGE) if page.isascii() and page.isdigit() and len(page) < 20 else 1,
        )

    def address(self, **changes: Any) -> str:
        """The query string of these filters, with some changed; what is not set is left out."""
        values = {name: getattr(self, name) for name in (*FIELDS, "order", "page")} | changes
        kept = {name: value for name, value in values.items() if value and (name, value) != ("page", 1)}
        return f"?{urlencode(kept)}" if kept else "?"

    @property
    def is_narrowed(self) -> bool:
        return any(getattr(self, name) for name in FIELDS)


FIELDS: Final = ("name", "patient_id", "accession", "modality", "since", "until")


@dataclass(frozen=True, slots=True)
class Page:
    studies: list[StudyRow]
    more: bool


@dataclass(frozen=True, slots=True)
class Heading:
    """Of a column, which the style sheet knows as `css`; `order` names the order it sorts by, "" if none does."""

    title: Any
    css: str
    order: str = ""
    latest_first: bool = False

    def next_order(self, current: str) -> str:
        """What a click makes of the current order: one way, the other way, none."""
        first, second = (f"-{self.order}", self.order) if self.latest_first else (self.order, f"-{self.order}")
        return {first: second, second: ""}.get(current, first)

    def sorted(self, current: str) -> str:
        """As `aria-sort` says it."""
        return {self.order: "ascending", f"-{self.order}": "descending"}.get(current, "none") if self.order else ""


HEADINGS: Final = (
    Heading(_("Patient"), "name", "name"),
    Heading(_("Patient ID"), "id", "patient_id"),
    Heading(_("Born"), "born"),
    Heading(_("Sex"), "sex"),
    Heading(_("Study date"), "when", "date", latest_first=True),
    Heading(_("Accession"), "accession", "accession"),
    Heading(_("Modality"), "modalities"),
    Heading(_("Description"), "description"),
    Heading(_("Series"), "count series-count"),
    Heading(_("Images"), "count"),
)


def find(filters: Filters, principal: Principal) -> Page:
    """Raises InvalidValue for what cannot be looked for."""
    query = build(
        {BY_KEYWORD[keyword].tag: value for keyword, value in asked(filters).items()},
        model=InformationModel.STUDY_ROOT,
        level=Level.STUDY,
        combined_datetime=False,
    )
    found = rows.page(
        query,
        _columns(query, StudyRow, Level.STUDY),
        principal,
        offset=(max(filters.page, 1) - 1) * PAGE,
        limit=PAGE + 1,
        order=ORDERS[filters.order],
    )
    return Page([_row(StudyRow, values) for values in found[:PAGE]], len(found) > PAGE)


def study(uid: str, principal: Principal) -> StudyRow | None:
    found = _below(StudyRow, Level.STUDY, uid, principal)
    return found[0] if found else None


def series_of(uid: str, principal: Principal) -> list[SeriesRow]:
    return _below(SeriesRow, Level.SERIES, uid, principal)


def guess(text: str, principal: Principal) -> Filters:
    """What somebody means who typed this into the one box: the first reading that finds a study."""
    readings = [Filters(name=text), Filters(patient_id=text), Filters(accession=text)]
    if any(character.isdigit() for character in text):
        readings = [*readings[1:], readings[0]]
    for reading in readings:
        try:
            if find(reading, principal).studies:
                return reading
        except InvalidValue:
            continue
    return readings[0]


def _below(row: type[Any], level: Level, uid: str, principal: Principal) -> list[Any]:
    if not is_uid(uid):
        return []
    asked = {BY_KEYWORD["StudyInstanceUID"].tag: uid}
    query = build(asked, model=InformationModel.STUDY_ROOT, level=level, combined_datetime=False)
    found = rows.page(query, _columns(query, row, level), principal, offset=0, limit=_MOST_SERIES)
    return [_row(row, values) for values in found]


def asked(filters: Filters) -> dict[str, str]:
    """Matching keys by keyword."""
    keys = {keyword: read(getattr(filters, name)) for name, (keyword, read) in _KEYS.items()}
    if filters.since or filters.until:
        keys["StudyDate"] = f"{_digits(filters.since)}-{_digits(filters.until)}"
    return keys


def _begun(text: str) -> str:
    return f"{text}*" if text and not _WILDCARDS & set(text) else text


def _name_begun(text: str) -> str:
    """`Doe, John` as people write it, `Doe^John` as DICOM does."""
    return _begun("^".join(part.strip() for part in text.split(",")))


def _digits(text: str) -> str:
    return text.replace("-", "")


_KEYS: Final[Mapping[str, tuple[str, Callable[[str], str]]]] = {
    "name": ("PatientName", _name_begun),
    "patient_id": ("PatientID", _begun),
    "accession": ("AccessionNumber", _begun),
    "modality": ("ModalitiesInStudy", str.upper),
}


def _columns(query: Query, row: type[Any], level: Level) -> list[str]:
    by_column = {attribute.column: attribute for attribute in BY_KEYWORD.values() if attribute.level <= level}
    return [rows.column(query, by_column[name]) for name in row.__dataclass_fields__]


def _row(row: type[Any], values: rows.Row) -> Any:
    return row(**dict(zip(row.__dataclass_fields__, values, strict=False)))
