"""What the environment says, checked once; knows no Django, so that the supervisor stays small."""

import math
import os
import re
import secrets
import sys
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

BASE_DIR = Path(__file__).resolve().parent.parent


class InvalidEnvironment(ValueError):
    """A variable that cannot be used, with what it should look like."""


def version() -> str:
    """The newest heading of CHANGELOG.md."""
    found = re.search(r"^## (\d[\w.]*)", (BASE_DIR / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise InvalidEnvironment("CHANGELOG.md has no heading such as '## 1.2.3'.")
    return found.group(1)


def value(variable: str) -> str:
    """What may be secret: also from the file that VARIABLE_FILE names, as container platforms hand it in."""
    text, path = os.environ.get(variable) or "", os.environ.get(f"{variable}_FILE") or ""
    if text and path:
        raise InvalidEnvironment(f"{variable} and {variable}_FILE are both set; one of them is enough.")
    if not path:
        return text
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidEnvironment(f"{variable}_FILE cannot be read ({why}): {path}.") from error


def directory(variable: str, default: Path) -> Path:
    given = os.environ.get(variable)
    if not given:
        return default
    path = Path(given).resolve()
    for part in (path, *path.parents):
        if part.exists() and not part.is_dir():
            raise InvalidEnvironment(f"{variable} is a directory, but {part} is a file.")
    return path


def data_directory() -> Path:
    return directory("PACS_DATA", BASE_DIR / "data")


def archive(data: Path) -> tuple[Path, str, str]:
    """PACS_ARCHIVE: a directory, or s3://BUCKET/PREFIX; the directory, the bucket ("": none) and the prefix."""
    text = os.environ.get("PACS_ARCHIVE") or ""
    if not re.match(r"s3:|[A-Za-z][A-Za-z0-9+.-]*://", text):  # else gs://x would be a folder called gs:
        return directory("PACS_ARCHIVE", data / "archive"), "", ""
    found = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([A-Za-z0-9_./-]*?))?/?", text)
    if found is None or ".." in text:
        raise InvalidEnvironment(f"PACS_ARCHIVE is a directory or s3://BUCKET/PREFIX, not {text!r}.")
    return data / "archive", found[1], found[2] or ""


def complain(error: InvalidEnvironment) -> int:
    """In one line; the exit status."""
    sys.stderr.write(f"{error}\n")
    return 2


def database_url(default: str) -> str:
    text = value("DATABASE_URL") or default
    if not re.match(r"(sqlite|postgres|postgresql)://.", text):
        # Not repeated whole: there may be a password in it.
        raise InvalidEnvironment("DATABASE_URL is postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:////PATH.")
    return text


def time_zone() -> str:
    name = os.environ.get("PACS_TIME_ZONE") or "UTC"
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidEnvironment(f"PACS_TIME_ZONE is a name such as Europe/Berlin, not {name!r}.") from error
    return name


def address(variable: str, default: str) -> tuple[str, int]:
    """HOST:PORT, [IPV6]:PORT or PORT."""
    text = os.environ.get(variable) or default
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidEnvironment(f"{variable} is HOST:PORT, not {text!r}.")
    return host.strip("[]") or default.rpartition(":")[0], int(port)


def join(where: tuple[str, int]) -> str:
    host, port = where
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def number(variable: str, default: float) -> float:
    text = os.environ.get(variable) or str(default)
    try:
        value = float(text)
    except ValueError as error:
        raise InvalidEnvironment(f"{variable} is a number, not {text!r}.") from error
    if not 0 <= value < math.inf:
        raise InvalidEnvironment(f"{variable} is a number from 0 up, not {text!r}.")
    return value


def count(variable: str, default: int) -> int:
    """A whole number of at least one."""
    value = number(variable, default)
    if value < 1 or value != int(value):
        raise InvalidEnvironment(f"{variable} is a whole number from 1 up, not {os.environ[variable]!r}.")
    return int(value)


def switch(variable: str, default: bool) -> bool:
    """`on` or `off`."""
    value = os.environ.get(variable, "").lower() or ("on" if default else "off")
    if value not in ("on", "off"):
        raise InvalidEnvironment(f"{variable} is on or off, not {value!r}.")
    return value == "on"


def make_directory(path: Path) -> Path:
    """Raises InvalidEnvironment, for it is the environment that says where."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidEnvironment(f"The directory {path} cannot be made: {error.strerror}.") from error
    return path


def secret_key(data: Path) -> str:
    """PACS_SECRET_KEY, or the key kept in `data`: made by whoever comes first, the same for all processes."""
    given = value("PACS_SECRET_KEY")
    if given:
        return given
    path = data / "secret_key"
    if not path.exists():
        make_directory(data)
        made = data / f".secret_key.{secrets.token_hex(4)}"
        try:
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise InvalidEnvironment(f"PACS_DATA cannot be written: {error.strerror}: {data}.") from error
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(50))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(made, path)  # fails when another process was first: its key stands
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return path.read_text(encoding="ascii").strip()
