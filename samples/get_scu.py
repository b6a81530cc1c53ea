"""Fetch from an archive into a folder: python -m samples.get_scu 127.0.0.1 11112 FOLDER StudyInstanceUID=1.2.3"""

import argparse
from functools import partial
from pathlib import Path

from dicom.datasets import SYNTAXES, data_set, encode
from dicom.dimse import associate
from dicom.sop_classes import STORAGE_SOP_CLASSES, STUDY_ROOT_GET
from samples.store_scp import store

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("host")
parser.add_argument("port", type=int)
parser.add_argument("folder", type=Path)
parser.add_argument("keys", nargs="+", metavar="KEYWORD=UID")
parser.add_argument("--calling", default="SAMPLE", help="our AE title")
parser.add_argument("--called", default="PACS", help="theirs")
parser.add_argument("--level", default="STUDY", choices=["STUDY", "SERIES", "IMAGE"])
args = parser.parse_args()
args.folder.mkdir(parents=True, exist_ok=True)
asked = data_set(**dict(text.split("=", 1) for text in args.keys), QueryRetrieveLevel=args.level)

# What comes does so on this association: we are the provider of storage, of 127 classes, images before other things.
classes = sorted(STORAGE_SOP_CLASSES, key=lambda uid: "Image" not in STORAGE_SOP_CLASSES[uid])[:127]
with associate(
    args.host,
    args.port,
    calling_ae_title=args.calling,
    called_ae_title=args.called,
    contexts=[(STUDY_ROOT_GET, SYNTAXES), *((uid, SYNTAXES) for uid in classes)],
    roles=dict.fromkeys(classes, (False, True)),
) as assoc:
    context = assoc.accepted_context(STUDY_ROOT_GET)
    identifier = encode(asked, context.transfer_syntax)
    for response in assoc.c_get(context=context, identifier=identifier, on_store=partial(store, args.folder)):
        response.check()
    said = response.command
    print(f"{said.number_of_completed_suboperations or 0} received, {said.number_of_failed_suboperations or 0} failed")
