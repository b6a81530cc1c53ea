"""The references of a request, some hundred a row, so that a hundred thousand are few rows and little memory."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from apps.commitment.models import PAGE, CommitmentPage, CommitmentRequest
from dicom.commitment import COMMITTED, Reference, reason_text


class Entry(NamedTuple):
    """One reference; `reason` is None while nobody knows, `detail` says more to people."""

    sop_class_uid: str
    sop_instance_uid: str
    reason: int | None = None
    detail: str = ""

    @property
    def text(self) -> str:
        if not self.reason:
            return "committed" if self.reason == COMMITTED else "not known yet"
        return f"{self.reason:04X} {reason_text(self.reason)}" + (f": {self.detail}" if self.detail else "")


def digest_of(references: Iterable[Reference]) -> str:
    digest = blake2b(digest_size=32)
    for each in references:
        digest.update(f"{each.sop_class_uid} {each.sop_instance_uid}\n".encode())
    return digest.hexdigest()


def write(request: CommitmentRequest, entries: Iterable[Entry], *, decided: bool = False) -> int:
    """How many."""
    remaining, number, count = iter(entries), 0, 0
    while page := list(islice(remaining, PAGE)):
        CommitmentPage.objects.create(request=request, number=number, references=page, decided=decided)
        number, count = number + 1, count + len(page)
    return count


def of(page: CommitmentPage) -> list[Entry]:
    return [Entry(*each) for each in page.references]


def entries(request: CommitmentRequest) -> Iterator[Entry]:
    """A page at a time, in the order they came."""
    last = -1
    while page := request.pages.filter(number__gt=last).order_by("number").first():
        yield from of(page)
        last = page.number


def numbered(request: CommitmentRequest, *, first: int) -> Iterator[tuple[int, Entry]]:
    """With their positions, from one on."""
    last = first // PAGE - 1
    while page := request.pages.filter(number__gt=last).order_by("number").first():
        for number, entry in enumerate(of(page), start=page.number * PAGE):
            if number >= first:
                yield number, entry
        last = page.number


def references(request: CommitmentRequest) -> Iterator[Reference]:
    """As they are reported: what was not decided counts as not committed."""
    for each in entries(request):
        yield Reference(each.sop_class_uid, each.sop_instance_uid, 0x0110 if each.reason is None else each.reason)


def failed(request: CommitmentRequest, most: int) -> Sequence[Entry]:
    """The first of those that are not committed."""
    return list(islice((each for each in entries(request) if each.reason), most))


def tally(request: CommitmentRequest) -> Counter[int | None]:
    """How many of each reason."""
    return Counter(each.reason for each in entries(request))
