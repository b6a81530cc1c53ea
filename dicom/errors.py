"""What a peer or a caller can be told; everything else is a bug and flies to the one place that logs it."""

from collections.abc import Mapping


class DicomError(Exception):
    """The request cannot be done; `str()` is fit for an Error Comment or an HTTP body: no patient data, no path."""


class InvalidDataSet(DicomError):
    """A data set that cannot be read, or lacks what identifies it. `offending_element` is its tag, or None."""

    def __init__(self, comment: str, *, offending_element: int | None = None) -> None:
        super().__init__(comment)
        self.offending_element = offending_element


class InvalidValue(DicomError):
    """One value of wrong form. `tag` names the element."""

    def __init__(self, comment: str, *, tag: int | None = None) -> None:
        super().__init__(comment)
        self.tag = tag


class InvalidFields(DicomError):
    """`errors`: what is wrong, by the name of the field, parameter or attribute."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in errors.items()))
        self.errors = dict(errors)


class CannotReencode(DicomError):
    """The object cannot be written in any transfer syntax the receiver takes."""

    http_status = 406


class DecoderBusy(CannotReencode):
    """No decoder became free in time; another time one may."""

    http_status = 503
