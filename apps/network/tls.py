"""TLS of DIMSE (PS3.15 B.1): contexts of the certificates and keys that rows hold."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from dicom.dimse import DimseError


class InvalidTls(DimseError):
    """Certificates or a key that cannot be used."""


def client(*, certificate_authority: str, verify: bool, certificate: str = "", private_key: str = "") -> ssl.SSLContext:
    """For who calls; `certificate_authority`: who vouches for the peer, empty for those this machine trusts. Raises
    InvalidTls."""
    try:
        context = ssl.create_default_context(cadata=certificate_authority or None)
    except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: text that is not ASCII
        raise InvalidTls(f"The certificates that vouch for the peer cannot be used: {error}") from error
    if certificate:
        _show(context, certificate, private_key)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@lru_cache(maxsize=64)
def server(certificate: str, private_key: str, client_certificate_authority: str) -> ssl.SSLContext:
    """For who is called; `client_certificate_authority`: who has to vouch for callers, empty for nobody. Raises
    InvalidTls."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _show(context, certificate, private_key)
    if client_certificate_authority:
        try:
            context.load_verify_locations(cadata=client_certificate_authority)
        except (ssl.SSLError, ValueError, TypeError) as error:
            raise InvalidTls(f"The certificates that vouch for callers cannot be used: {error}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _show(context: ssl.SSLContext, certificate: str, private_key: str) -> None:
    try:
        with _file(f"{certificate}\n{private_key}\n") as path:
            context.load_cert_chain(path, password=lambda: "")  # else it asks on the terminal
    except (OSError, ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise InvalidTls(f"Our certificate and its private key cannot be used: {why}") from error


@contextmanager
def _file(text: str) -> Iterator[str]:
    """OpenSSL reads keys from files: this one is on no disk."""
    fd = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        with open(fd, "w", closefd=False) as file:
            file.write(text)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
