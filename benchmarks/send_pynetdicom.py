"""pynetdicom sends a folder over one association: `python -m benchmarks.send_pynetdicom PORT AE_TITLE FOLDER`.

It loses an association now and then, without a word of its peer's: a new one goes on from there, on its own time.
"""

import sys
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

_LOST = 3  # at most


def main(port: int, ae_title: str, folder: Path) -> None:
    paths = sorted(folder.glob("*.dcm"))
    ae = AE(ae_title="BENCH")
    ae.add_requested_context(dcmread(paths[0], stop_before_pixels=True).SOPClassUID, ExplicitVRLittleEndian)
    assoc = ae.associate("127.0.0.1", port, ae_title=ae_title)
    lost = 0
    for path in paths:
        while "Status" not in (status := assoc.send_c_store(path)):
            lost += 1
            if lost > _LOST:
                raise SystemExit(f"{path}: no answer, {lost} times")
            assoc.abort()
            assoc = ae.associate("127.0.0.1", port, ae_title=ae_title)
        if status.Status != 0:
            raise SystemExit(f"{path}: {status.Status:04X}")
    assoc.release()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
