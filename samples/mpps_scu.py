"""Begin and end a procedure step, with values from the worklist:
python -m samples.mpps_scu 127.0.0.1 11112 Modality=CT PatientID=1 StudyInstanceUID=1.2.3 ScheduledProcedureStepID=7"""

import argparse
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom.datasets import SYNTAXES, data_set, encode
from dicom.dimse import associate
from dicom.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS

# PS3.4 Table F.7.2-1: what is there, though empty, of the scheduled step, the performed one and a series.
SCHEDULED = """StudyInstanceUID ReferencedStudySequence AccessionNumber RequestedProcedureID ScheduledProcedureStepID
    RequestedProcedureDescription ScheduledProcedureStepDescription ScheduledProtocolCodeSequence"""
PERFORMED = """PatientName PatientID PatientBirthDate PatientSex ReferencedPatientSequence PerformedProcedureStepID
    PerformedStationName PerformedLocation PerformedProcedureStepDescription PerformedProcedureTypeDescription
    ProcedureCodeSequence PerformedProcedureStepEndDate PerformedProcedureStepEndTime Modality StudyID
    PerformedProtocolCodeSequence PerformedSeriesSequence"""
SERIES = """ProtocolName PerformingPhysicianName OperatorsName SeriesInstanceUID SeriesDescription RetrieveAETitle
    ReferencedImageSequence ReferencedNonImageCompositeSOPInstanceSequence"""


def chosen(keywords: str, given: dict[str, str]) -> Dataset:
    return data_set(**{word: given.get(word, [] if word.endswith("Sequence") else "") for word in keywords.split()})


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("host")
parser.add_argument("port", type=int)
parser.add_argument("values", nargs="*", metavar="KEYWORD=VALUE")
parser.add_argument("--calling", default="SAMPLE", help="our AE title")
parser.add_argument("--called", default="PACS", help="theirs")
parser.add_argument("--discontinue", action="store_true", help="rather than complete")
args = parser.parse_args()
given = {"Modality": "OT", "StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
given |= {"PerformedProcedureStepID": "1", "ProtocolName": "SAMPLE", **dict(v.split("=", 1) for v in args.values)}

step = chosen(PERFORMED, given)
step.SpecificCharacterSet, step.PerformedStationAETitle = "ISO_IR 192", args.calling
step.ScheduledStepAttributesSequence = [chosen(SCHEDULED, given)]
step.PerformedProcedureStepStatus = "IN PROGRESS"
step.PerformedProcedureStepStartDate, step.PerformedProcedureStepStartTime = f"{datetime.now():%Y%m%d %H%M%S}".split()

contexts, uid = [(MPPS, SYNTAXES)], generate_uid()
with associate(
    args.host, args.port, calling_ae_title=args.calling, called_ae_title=args.called, contexts=contexts
) as assoc:
    context = assoc.accepted_context(MPPS)
    encoded = encode(step, context.transfer_syntax)
    assoc.n_create(context=context, sop_class_uid=MPPS, sop_instance_uid=uid, data=encoded).check()
    print(uid, step.PerformedProcedureStepStatus)
    end = data_set(SpecificCharacterSet="ISO_IR 192", PerformedSeriesSequence=[chosen(SERIES, given)])
    end.PerformedProcedureStepStatus = "DISCONTINUED" if args.discontinue else "COMPLETED"
    end.PerformedProcedureStepEndDate, end.PerformedProcedureStepEndTime = f"{datetime.now():%Y%m%d %H%M%S}".split()
    encoded = encode(end, context.transfer_syntax)
    assoc.n_set(context=context, sop_class_uid=MPPS, sop_instance_uid=uid, data=encoded).check()
    print(uid, end.PerformedProcedureStepStatus)
