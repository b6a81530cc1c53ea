"""Our idea of success, warning and pending against pynetdicom's."""

from pynetdicom.status import code_to_category

from dicom.status import is_pending, is_success, is_warning


def category(code: int) -> str:
    if is_success(code):
        return "Success"
    if is_pending(code):
        return "Pending"
    return "Warning" if is_warning(code) else "Failure"


def test_every_status_is_in_the_category_the_standard_gives_it() -> None:
    differing = {
        code
        for code in range(0x10000)
        if code_to_category(code) in ("Success", "Pending", "Warning", "Failure")
        and code_to_category(code) != category(code)
    }
    assert differing == set()
