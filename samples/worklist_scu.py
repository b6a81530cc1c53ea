"""Ask for the worklist as a modality does: python -m samples.worklist_scu 127.0.0.1 11112 --modality CT"""

import argparse

from dicom import status
from dicom.datasets import SYNTAXES, data_set, decode, encode
from dicom.dimse import associate
from dicom.sop_classes import MODALITY_WORKLIST_FIND

STEP = {
    "ScheduledProcedureStepStartDate": "DATE",
    "ScheduledProcedureStepStartTime": "TIME",
    "Modality": "MODALITY",
    "ScheduledStationAETitle": "STATION",
    "ScheduledProcedureStepID": "STEP",
}
ORDER = {"PatientID": "PATIENT ID", "PatientName": "NAME", "AccessionNumber": "ACCESSION", "StudyInstanceUID": "STUDY"}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("host")
parser.add_argument("port", type=int)
parser.add_argument("--calling", default="SAMPLE", help="our AE title")
parser.add_argument("--called", default="PACS", help="theirs")
parser.add_argument("--name", default="", help="of the patient, with wild cards: 'SMITH*'")
parser.add_argument("--id", default="", help="of the patient")
parser.add_argument("--station", default="", help="AE title")
parser.add_argument("--modality", default="")
parser.add_argument("--date", default="", help="a day or a range: 20250701-20250703")
args = parser.parse_args()

# What is empty matches everything and is to be answered (PS3.4 K.6.1.2.2).
step = data_set(**dict.fromkeys(STEP, ""))
step.ScheduledProcedureStepStartDate, step.Modality, step.ScheduledStationAETitle = (
    args.date,
    args.modality,
    args.station,
)
keys = data_set(**dict.fromkeys(ORDER, ""), SpecificCharacterSet="ISO_IR 192", ScheduledProcedureStepSequence=[step])
keys.PatientName, keys.PatientID = args.name, args.id

row = "{:9} {:7} {:9} {:17} {:17} {:17} {:25} {:17} {}".format
contexts = [(MODALITY_WORKLIST_FIND, SYNTAXES)]
with associate(
    args.host, args.port, calling_ae_title=args.calling, called_ae_title=args.called, contexts=contexts
) as assoc:
    context = assoc.accepted_context(MODALITY_WORKLIST_FIND)
    print(row(*STEP.values(), *ORDER.values()))
    for response in assoc.c_find(context=context, identifier=encode(keys, context.transfer_syntax)):
        response.check()
        if status.is_pending(response.status):
            answer = decode(response.data_set, context.transfer_syntax)
            for item in answer.ScheduledProcedureStepSequence:
                texts = [*(item.get(keyword) for keyword in STEP), *(answer.get(keyword) for keyword in ORDER)]
                print(row(*(str(text or "") for text in texts)))
