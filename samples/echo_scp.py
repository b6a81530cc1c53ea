"""Be there, and say who asks: python -m samples.echo_scp --port 11112"""

import argparse

from dicom import status
from dicom.dimse import Association, Message, SimpleAcceptor, ThreadedServer
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION


def echo(assoc: Association, message: Message) -> None:
    host, port = assoc.address
    print(f"{assoc.calling_ae_title} at {host}:{port} asks {assoc.called_ae_title}", flush=True)
    assoc.respond(message, status.SUCCESS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=11112, help="0: any that is free")
    args = parser.parse_args()
    acceptor = SimpleAcceptor({VERIFICATION: ([EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN], echo)})
    with ThreadedServer(("", args.port), acceptor) as server:
        print(f"Listening on port {server.port}; Ctrl-C ends", flush=True)
        server.wait()
