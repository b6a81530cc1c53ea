"""The rate limits of peers: one for all that this process sends to a peer."""

import threading

from dicom.dimse import Pace

_lock = threading.Lock()
_paces: dict[str, Pace] = {}


def pace_of(name: str, rate_limit: int) -> Pace:
    """Of a peer, by its name; `rate_limit` in KiB/s, 0 for none, holds for those who send already, too."""
    with _lock:
        pace = _paces.setdefault(name, Pace())
        pace.rate = rate_limit * 1024
    return pace
