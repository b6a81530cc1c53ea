"""What the command line of `manage.py dicom` takes: one function for each verb that takes more than a peer."""

from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser

from apps.mpps import scu
from apps.network.validators import validate_ae_title
from pacs.client import examples, tls

LEVELS: Final = ("patient", "study", "series", "image")
_DAY: Final = 86_400.0


def add(parser: CommandParser) -> None:
    parser.epilog, parser.formatter_class = examples.EXIT, RawDescriptionHelpFormatter
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, (help_, *takes) in VERBS.items():
        made = verbs.add_parser(verb, help=help_, epilog=examples.of(verb), formatter_class=RawDescriptionHelpFormatter)
        for take in (_peer, *takes):
            take(made)


def ae_title(text: str) -> str:
    try:
        validate_ae_title(text)
    except ValidationError as error:
        raise ArgumentTypeError(error.messages[0]) from error
    return text


def seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= _DAY:
        raise ArgumentTypeError("more than 0 seconds, and no more than a day")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ArgumentTypeError("0 or more")
    return value


def port(text: str) -> int:
    value = int(text)
    if not 0 < value < 65536:
        raise ArgumentTypeError("a port is 1 to 65535")
    return value


def _peer(parser: ArgumentParser) -> None:
    parser.add_argument(
        "target", metavar="PEER", help="Name or AE title of a peer, or AET@HOST:PORT; find asks several: A,B."
    )
    parser.add_argument(
        "--calling", type=ae_title, default=settings.AE_TITLE, metavar="AET", help="Our AE title (%(default)s)."
    )
    parser.add_argument("--json", action="store_true", help="One JSON object a line.")
    parser.add_argument("--timeout", type=seconds, default=60, metavar="SECONDS", help="For an answer (%(default)s).")
    tls.add_arguments(parser)


def _keys(parser: ArgumentParser) -> None:
    parser.add_argument(
        *("-k", "--key"),
        dest="keys",
        action="append",
        default=[],
        metavar="KEY[=VALUE]",
        help="Such as PatientID=1*, 0008,0020 or SEQUENCE.KEY; may be repeated.",
    )


def _level(parser: ArgumentParser) -> None:
    parser.add_argument("--level", choices=LEVELS, help="Default: that of the lowest unique key, else study.")
    parser.add_argument("--patient-root", action="store_true", help="Patient Root instead of Study Root.")


def _limit(parser: ArgumentParser) -> None:
    parser.add_argument("--limit", type=count, default=0, metavar="N", help="Cancel after N answers.")


def _store(parser: ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")


def _get(parser: ArgumentParser) -> None:
    where = "Where UID.dcm is written; default: the current folder."
    parser.add_argument("--to", type=Path, default=Path(), metavar="FOLDER", help=where)
    rare = "Rare class to propose as well."
    parser.add_argument("--sop-class", action="append", default=[], metavar="UID", help=rare)


def _move(parser: ArgumentParser) -> None:
    parser.add_argument("--destination", type=ae_title, default=settings.AE_TITLE, metavar="AET", help="Default: us.")


def _worklist(parser: ArgumentParser) -> None:
    what = "Take them as orders of ours; says what is new or differs."
    parser.add_argument("--import", dest="take", action="store_true", help=what)


def _commit(parser: ArgumentParser) -> None:
    parser.description = (
        "Asks about the instances in files and folders, or, by -k, about instances of this archive: "
        "-k StudyInstanceUID=1.2.3"
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    parser.add_argument("--wait", type=seconds, default=60, metavar="SECONDS", help="For the report (%(default)s).")
    own = "Take the report on an association of the peer's own as well; it must know us by this port."
    parser.add_argument("--listen", type=port, metavar="PORT", help=own)


def _mpps(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=[*scu.ACTIONS, "get"])
    parser.add_argument("uid", nargs="?", default="", metavar="UID", help="Of the step; create makes one.")
    parser.add_argument("--file", type=Path, metavar="JSON", help="Attributes in the DICOM JSON model.")


Takes = Callable[[ArgumentParser], None]
# What the help says of a verb, and what it takes.
VERBS: Final[dict[str, tuple[str, *tuple[Takes, ...]]]] = {
    "echo": ("Is it there?",),
    "store": ("Send files and folders.", _store),
    "find": ("Ask what it has.", _keys, _level, _limit),
    "get": ("Retrieve into a folder, on the same association.", _keys, _level, _get),
    "move": ("Have it send to somebody.", _keys, _level, _move),
    "worklist": ("Ask which steps it has scheduled.", _keys, _limit, _worklist),
    "commit": (
        "Ask whether it keeps what it was sent (storage commitment), and wait for its report.",
        _keys,
        _commit,
    ),
    "mpps": ("Report a step that is performed.", _keys, _mpps),
}
