"""Instances with files, taken in and indexed as the product does it, and what a receiver got of them."""

from pathlib import Path

from pydicom import dcmread

from tests.storage.made import CT, EXPLICIT, data_set, index, receive

SR = "1.2.840.10008.5.1.4.1.1.88.11"


def keep(*numbers: int, series: str = "1.2.3.1", **values: object) -> dict[str, bytes]:
    """Images of a series with these numbers: SOP Instance UID -> data set as it was sent."""
    syntax = str(values.pop("transfer_syntax_uid", EXPLICIT))
    kept = {}
    for number in numbers:
        uid = f"{series}.{number}"
        own = {"sop": uid, "series": series, "number": str(number), "pixels": bytes([number % 256]) * 3000, **values}
        kept[uid] = data_set(transfer_syntax_uid=syntax, **own)
        receive(kept[uid], transfer_syntax_uid=syntax, sop=uid, sop_class=own.get("sop_class", CT))
    index()
    return kept


def received(folder: Path) -> dict[str, bytes]:
    """SOP Instance UID -> whole file, of files that a peer wrote."""
    return {str(dcmread(path, force=True).SOPInstanceUID): path.read_bytes() for path in folder.iterdir()}


def assert_same(kept: dict[str, bytes], got: dict[str, bytes]) -> None:
    assert got.keys() == kept.keys()
    assert all(got[uid].endswith(kept[uid]) for uid in kept)
