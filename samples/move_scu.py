"""Have an archive send to somebody: python -m samples.move_scu 127.0.0.1 11112 DEST StudyInstanceUID=1.2.3"""

import argparse

from dicom.datasets import SYNTAXES, data_set, encode
from dicom.dimse import associate
from dicom.sop_classes import STUDY_ROOT_MOVE

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("host")
parser.add_argument("port", type=int)
parser.add_argument("destination", help="an AE title that the archive knows")
parser.add_argument("keys", nargs="+", metavar="KEYWORD=UID")
parser.add_argument("--calling", default="SAMPLE", help="our AE title")
parser.add_argument("--called", default="PACS", help="theirs")
parser.add_argument("--level", default="STUDY", choices=["STUDY", "SERIES", "IMAGE"])
args = parser.parse_args()
asked = data_set(**dict(text.split("=", 1) for text in args.keys), QueryRetrieveLevel=args.level)

contexts = [(STUDY_ROOT_MOVE, SYNTAXES)]
with associate(
    args.host, args.port, calling_ae_title=args.calling, called_ae_title=args.called, contexts=contexts
) as assoc:
    context = assoc.accepted_context(STUDY_ROOT_MOVE)
    identifier = encode(asked, context.transfer_syntax)
    for response in assoc.c_move(context=context, destination=args.destination, identifier=identifier):
        said = response.command  # a response now and then, the last one with the final numbers
        print(
            f"{response.status:04X}: {said.number_of_completed_suboperations or 0} sent,",
            f"{said.number_of_failed_suboperations or 0} failed,",
            f"{said.number_of_remaining_suboperations or 0} to come",
        )
        response.check()
