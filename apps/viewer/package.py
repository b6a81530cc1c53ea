"""The OHIF viewer as npm has it, made fit to be served below our address: `python -m apps.viewer.package .viewer`.

Needs nothing but Python and npm: it runs at set-up, before there is a server."""

import base64
import gzip
import hashlib
import hmac
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

NAME: Final = "@ohif/app"
VERSION: Final = "3.13.2"
INTEGRITY: Final = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
REVISION: Final = 1  # of what is done to the package here
DIRECTORY: Final = f"ohif-{VERSION}-{REVISION}"
PREFIX: Final = "/viewer/"

_DIST: Final = "package/dist/"
_LICENCE: Final = "package/LICENSE"
# Neural networks in the browser, which nothing we offer uses; maps of sources; what signs in elsewhere or asks other
# origins (a service worker, Google's data source, OpenID Connect) and what belongs to other servers.
_LEFT_OUT: Final = re.compile(
    r"ort/.*|.*\.map|_headers|_redirects|serve\.json|app-config\.js|google\.js|sw\.js|init-service-worker\.js"
    r"|silent-refresh\.html|oidc-client\.min\.js|es6-shim\.min\.js|polyfill\.min\.js|customizations/.*"
)
_COMPRESSED: Final = frozenset({".js", ".css", ".html", ".json", ".svg", ".wasm", ".xml"})
_ROOT: Final = PREFIX.encode()
_LONGEST: Final = 600  # seconds that npm may take


class NoViewer(Exception):
    """What a person reads: why there is none."""


def installed(directory: Path) -> Path | None:
    """Where its files are; `directory` holds all versions."""
    made = directory / DIRECTORY
    return made if made.is_dir() else None


def fetch(directory: Path, integrity: str = INTEGRITY) -> Path:
    """Installs it, unless it is there. Raises NoViewer."""
    if made := installed(directory):
        return made
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _clear(directory)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=directory) as scratch:
            making = Path(scratch, "made")
            _extract(_packed(Path(scratch), integrity), making)
            _compress(making)
            os.sync()  # what a power cut leaves under the final name is whole
            _publish(making, directory / DIRECTORY)
    except OSError as error:
        raise NoViewer(f"{error.filename or directory}: {error.strerror}") from error
    for older in directory.glob("ohif-*"):
        if older.name != DIRECTORY:
            shutil.rmtree(older, ignore_errors=True)
    return directory / DIRECTORY


def _clear(directory: Path) -> None:
    """What earlier ones left who were killed."""
    for left in directory.glob(".making-*"):
        if left.stat().st_mtime < time.time() - 2 * _LONGEST:
            shutil.rmtree(left, ignore_errors=True)


def _publish(making: Path, made: Path) -> None:
    try:
        making.rename(made)
    except OSError:
        if not made.is_dir():  # else somebody else was first: his is the same
            raise


def _packed(scratch: Path, integrity: str) -> Path:
    """The package as npm brings it, proven to be the one we know."""
    npm = shutil.which("npm")
    if npm is None:
        raise NoViewer("npm is not installed (Debian: apt-get install npm)")
    command = [npm, "pack", f"{NAME}@{VERSION}", "--ignore-scripts", "--fetch-retries=0", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=_LONGEST)
    except subprocess.TimeoutExpired as error:
        raise NoViewer(f"npm did not bring {NAME} within {_LONGEST} seconds") from error
    packages = list(scratch.glob("*.tgz"))
    if done.returncode or len(packages) != 1:
        said = next((line for line in done.stderr.splitlines() if line.strip()), "no reason given")
        raise NoViewer(f"npm did not bring {NAME}@{VERSION}: {said}")
    with open(packages[0], "rb") as file:
        digest = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if not hmac.compare_digest(f"sha512-{digest}", integrity):
        raise NoViewer(f"What npm brought is not the {NAME}@{VERSION} we know (sha512-{digest})")
    return packages[0]


def _extract(package: Path, making: Path) -> None:
    making.mkdir()
    with tarfile.open(package) as archive:
        for name, member in _wanted(archive):
            path = making / name
            path.parent.mkdir(parents=True, exist_ok=True)
            source = archive.extractfile(member)
            assert source is not None
            with source, open(path, "wb") as target:
                change = _CHANGES.get(path.suffix)
                if change is None:
                    shutil.copyfileobj(source, target)
                else:
                    target.write(change(source.read()))
    index = making / "index.html"
    if not index.is_file():
        raise NoViewer(f"{package.name} holds no index.html")
    _move_scripts(index)


def _wanted(archive: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    for member in archive:
        name = "LICENSE" if member.name == _LICENCE else member.name.removeprefix(_DIST)
        inside = name != member.name and ".." not in Path(name).parts and not name.startswith("/")
        if member.isfile() and inside and not _LEFT_OUT.fullmatch(name):
            yield name, member


# It is built for the root of a server; these are the places that say so.


def _javascript(text: bytes) -> bytes:
    text = text.replace(b'_.p = "/"', b'_.p = "%s"' % _ROOT)
    return text.replace(b"browserImportFunction('/", b"browserImportFunction('%s" % _ROOT)


def _style(text: bytes) -> bytes:
    return re.sub(rb"url\(/(?!/)", b"url(" + _ROOT, text)


def _html(text: bytes) -> bytes:
    text = text.replace(b'window.PUBLIC_URL="/"', b'window.PUBLIC_URL="%s"' % _ROOT)
    text = re.sub(rb'((?:href|src|content)=")/(?!/)', rb"\1" + _ROOT, text)
    # Asked for without cookies otherwise, and sent to the sign-in page.
    text = text.replace(b'<link rel="manifest"', b'<link rel="manifest" crossorigin="use-credentials"')
    # It removes service workers of earlier days; without a secure origin it fails.
    return re.sub(rb"<script[^>]*/init-service-worker\.js[^>]*></script>", b"", text)


def _json(text: bytes) -> bytes:
    return text.replace(b'"/assets/', b'"%sassets/' % _ROOT)


_CHANGES: Final[dict[str, Callable[[bytes], bytes]]] = {
    ".js": _javascript,
    ".css": _style,
    ".html": _html,
    ".json": _json,
    ".webapp": _json,
    ".xml": _json,
}


def _move_scripts(index: Path) -> None:
    """Scripts within the page become files: the content security policy takes no others."""
    numbers = iter(range(1, 100))

    def moved(script: re.Match[bytes]) -> bytes:
        name = f"inline-{next(numbers)}.js"
        (index.parent / name).write_bytes(script[1])
        return b'<script src="%s%s"></script>' % (_ROOT, name.encode())

    index.write_bytes(re.sub(rb"<script>(.*?)</script>", moved, index.read_bytes(), flags=re.DOTALL))


def _compress(making: Path) -> None:
    """Beside each file that shrinks, once for all requests."""
    for path in [*making.rglob("*")]:
        if path.suffix in _COMPRESSED and path.stat().st_size > 1024:
            packed = gzip.compress(path.read_bytes(), mtime=0)
            if len(packed) < path.stat().st_size * 0.95:
                path.with_name(f"{path.name}.gz").write_bytes(packed)


def main(arguments: list[str]) -> int:
    directory = Path(arguments[0])
    if installed(directory) is None:
        sys.stderr.write(f"Fetching the viewer, {NAME} {VERSION}\n")
    try:
        fetch(directory)
    except NoViewer as error:
        sys.stderr.write(f"No viewer: {error}. All else works; script/viewer adds it later.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
