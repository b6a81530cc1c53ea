"""Ask an archive whether it keeps these files, and wait for its report:
python -m samples.commit_scu 127.0.0.1 11112 image.dcm --listen 11113"""

import argparse
from pathlib import Path
from threading import Event

from pydicom import dcmread

from dicom import commitment, status
from dicom.commitment import INSTANCE, Reference
from dicom.datasets import SYNTAXES
from dicom.dimse import Association, Message, SimpleAcceptor, ThreadedServer, associate
from dicom.sop_classes import STORAGE_COMMITMENT_PUSH as PUSH
from dicom.values import new_uid

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("host")
parser.add_argument("port", type=int)
parser.add_argument("files", nargs="+", type=Path)
parser.add_argument("--calling", default="SAMPLE", help="our AE title")
parser.add_argument("--called", default="PACS", help="theirs")
parser.add_argument("--listen", type=int, default=0, help="port for a report on an association of their own")
parser.add_argument("--wait", type=float, default=10, help="seconds for the report on each of the two")
args = parser.parse_args()

reported = Event()


def take(assoc: Association, message: Message) -> None:
    report = commitment.read(message.read(), message.context.transfer_syntax, most=100_000)
    assoc.respond(message, status.SUCCESS)
    for uid, reason in ((each.sop_instance_uid, each.reason) for each in report.references):
        print(uid, f"{reason:04X} {commitment.reason_text(reason)}" if reason else "committed")
    reported.set()


references = []
for path in args.files:
    ds = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"])
    references.append(Reference(ds.SOPClassUID, ds.SOPInstanceUID))
with ThreadedServer(("", args.listen), SimpleAcceptor({PUSH: (SYNTAXES, take)})):
    with associate(
        *(args.host, args.port),
        calling_ae_title=args.calling,
        called_ae_title=args.called,
        contexts=[(PUSH, SYNTAXES)],
        on_request=take,
    ) as assoc:
        context = assoc.accepted_context(PUSH)
        data = commitment.request(new_uid(), references, context.transfer_syntax)
        assoc.n_action(
            context=context, sop_class_uid=PUSH, sop_instance_uid=INSTANCE, action_type_id=1, data=data
        ).check()
        assoc.serve(args.wait, until=reported.is_set)
    if not reported.wait(args.wait):
        print("no report")
