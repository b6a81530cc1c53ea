"""Query an archive (Study Root): python -m samples.find_scu 127.0.0.1 11112 'PatientName=DOE*' StudyInstanceUID

A keyword without a value matches everything; each keyword is a column of the answer.
"""

import argparse

from dicom import status
from dicom.datasets import SYNTAXES, data_set, decode, encode
from dicom.dimse import associate
from dicom.sop_classes import STUDY_ROOT_FIND

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("host")
parser.add_argument("port", type=int)
parser.add_argument("keys", nargs="+", metavar="KEYWORD[=VALUE]")
parser.add_argument("--calling", default="SAMPLE", help="our AE title")
parser.add_argument("--called", default="PACS", help="theirs")
parser.add_argument("--level", default="STUDY", choices=["STUDY", "SERIES", "IMAGE"])
args = parser.parse_args()
keys = {keyword: value for keyword, _, value in (text.partition("=") for text in args.keys)}
asked = data_set(**keys, QueryRetrieveLevel=args.level, SpecificCharacterSet="ISO_IR 192")

contexts = [(STUDY_ROOT_FIND, SYNTAXES)]
with associate(
    args.host, args.port, calling_ae_title=args.calling, called_ae_title=args.called, contexts=contexts
) as assoc:
    context = assoc.accepted_context(STUDY_ROOT_FIND)
    print(*keys, sep="\t")
    for response in assoc.c_find(context=context, identifier=encode(asked, context.transfer_syntax)):
        response.check()
        if status.is_pending(response.status):
            answer = decode(response.data_set, context.transfer_syntax)
            print(*(str(answer.get(keyword) or "") for keyword in keys), sep="\t")
