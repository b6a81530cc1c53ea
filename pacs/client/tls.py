"""TLS of the command line: PS3.15 B, as far as two programs have to agree on it."""

import ssl
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from dicom.errors import DicomError


class InvalidTls(DicomError):
    """Certificates or a key that cannot be used."""


def add_arguments(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("TLS")
    group.add_argument("--tls", action="store_true", help="Talk TLS; each of the following means it too.")
    group.add_argument(
        "--ca", type=Path, metavar="PEM", help="Certificates that vouch for the peer; default: this machine's."
    )
    group.add_argument("--certificate", type=Path, metavar="PEM", help="Ours, for a peer that wants to know us by it.")
    group.add_argument(
        "--private-key", type=Path, metavar="PEM", help="Of our certificate, if it is not in the same file."
    )
    group.add_argument("--no-verify", action="store_true", help="Take any certificate for any host: only for tests.")


def context(options: dict[str, Any]) -> ssl.SSLContext | None:
    """None: plain TCP. Raises InvalidTls."""
    ca, certificate, key = options["ca"], options["certificate"], options["private_key"]
    if key and not certificate:
        raise InvalidTls("A key needs the certificate it belongs to: --certificate PEM")
    if not (options["tls"] or options["no_verify"] or ca or certificate):
        return None
    try:
        made = ssl.create_default_context(cafile=ca)
        if certificate:
            made.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidTls(f"The certificates or the key cannot be read: {error.strerror or error}") from error
    if options["no_verify"]:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
