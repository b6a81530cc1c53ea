"""The viewer's files and how each is answered, read from the disk once."""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from whitenoise.media_types import MediaTypes
from whitenoise.responders import StaticFile

INDEX: Final = "index.html"
# Stands in our tree: the one of the package points at a public demonstration.
CONFIG: Final = "app-config.js"
_HASHED: Final = re.compile(r"[0-9a-f]{16}\.")  # names that change with their content
_YEAR: Final = 365 * 24 * 3600


@lru_cache(maxsize=2)
def files(directory: Path) -> dict[str, StaticFile]:
    """By name below the viewer's address: what is not in here is not served, whatever a request names."""
    stats = {str(path): path.stat() for path in directory.rglob("*") if path.is_file()}
    paths = {os.path.relpath(path, directory): path for path in stats if not _is_packed(path, stats)}
    paths[CONFIG] = str(Path(__file__).with_name(CONFIG))
    stats[paths[CONFIG]] = os.stat(paths[CONFIG])
    types = MediaTypes()
    return {name: _answer(name, path, types, stats) for name, path in paths.items()}


def _is_packed(path: str, stats: dict[str, Any]) -> bool:
    return path.endswith(".gz") and path.removesuffix(".gz") in stats


def _answer(name: str, path: str, types: MediaTypes, stats: dict[str, Any]) -> StaticFile:
    media_type = types.get_type(path)
    headers = {
        "Content-Type": f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type,
        "Cache-Control": f"private, max-age={_YEAR}, immutable" if _HASHED.search(name) else "private, no-cache",
    }
    return StaticFile(path, list(headers.items()), stat_cache=stats, encodings={"gzip": f"{path}.gz"})
