"""Ask whether somebody is there: python -m samples.echo_scu 127.0.0.1 11112"""

import argparse
from time import monotonic

from dicom.dimse import associate
from dicom.sop_classes import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("host")
parser.add_argument("port", type=int)
parser.add_argument("--calling", default="SAMPLE", help="our AE title")
parser.add_argument("--called", default="PACS", help="theirs")
args = parser.parse_args()

contexts = [(VERIFICATION, [IMPLICIT_VR_LITTLE_ENDIAN])]
with associate(
    args.host, args.port, calling_ae_title=args.calling, called_ae_title=args.called, contexts=contexts
) as assoc:
    began = monotonic()
    assoc.c_echo().check()
    print(f"{args.called} is there: {1000 * (monotonic() - began):.1f} ms")
