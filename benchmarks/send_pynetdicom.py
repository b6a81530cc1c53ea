"""pynetdicom sends a folder over one association: `python -m benchmarks.send_pynetdicom PORT AE_TITLE FOLDER`."""

import sys
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE


def main(port: int, ae_title: str, folder: Path) -> None:
    paths = sorted(folder.glob("*.dcm"))
    ae = AE(ae_title="BENCH")
    ae.add_requested_context(dcmread(paths[0], stop_before_pixels=True).SOPClassUID, ExplicitVRLittleEndian)
    assoc = ae.associate("127.0.0.1", port, ae_title=ae_title)
    for path in paths:
        status = assoc.send_c_store(path)
        if status.Status != 0:
            raise SystemExit(f"{path}: {status.Status:04X}")
    assoc.release()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
