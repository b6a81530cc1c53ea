"""One logging set-up for all roles: text or JSON lines to console, a rotating file and syslog, each by environment."""

import fcntl
import json
import logging
import logging.handlers
import os
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apps import context
from pacs import environment

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Identity(logging.Filter):
    """Adds whom the thread works for to each record, as `identity` (a dict) and `who` (text)."""

    def filter(self, record: logging.LogRecord) -> bool:
        identity = context.current()
        record.__dict__["identity"] = identity
        record.__dict__["who"] = "".join(f" {name}={value}" for name, value in identity.items())
        return True


class TextFormatter(logging.Formatter):
    default_time_format = "%Y-%m-%d %H:%M:%S"
    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname:<7} {name}[{process}]{who} {message}", style="{")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **getattr(record, "identity", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


class SharedRotatingFileHandler(logging.handlers.WatchedFileHandler):
    """One file for all processes: lines are appended whole, whoever finds it full turns it over, the others follow."""

    def __init__(self, filename: str, maximum_bytes: int, kept: int) -> None:
        environment.make_directory(Path(filename).parent)
        super().__init__(filename, mode="a", encoding="utf-8", delay=True)
        self.maximum_bytes = maximum_bytes
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if self.stream and self.stream.tell() > self.maximum_bytes:
            self._turn_over()

    def _turn_over(self) -> None:
        lock = os.open(f"{self.baseFilename}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.getsize(self.baseFilename) > self.maximum_bytes:
                for number in range(self.kept - 1, 0, -1):
                    if os.path.exists(f"{self.baseFilename}.{number}"):
                        os.replace(f"{self.baseFilename}.{number}", f"{self.baseFilename}.{number + 1}")
                os.replace(self.baseFilename, f"{self.baseFilename}.1")
            self.reopenIfNeeded()
        except OSError:
            pass  # logging never fails its caller; the next line tries again
        finally:
            os.close(lock)


def _syslog_address(text: str) -> str | tuple[str, int]:
    host, _, port = text.rpartition(":")
    return (host, int(port)) if host and port.isdecimal() else text


def configuration() -> dict[str, Any]:
    """For `logging.config.dictConfig`; PACS_LOG_FORMAT, PACS_LOG_LEVEL, PACS_LOG_FILE, PACS_LOG_SYSLOG."""
    formatter = os.environ.get("PACS_LOG_FORMAT") or "text"
    if formatter not in ("text", "json"):
        raise environment.InvalidEnvironment(f"PACS_LOG_FORMAT is text or json, not {formatter!r}.")
    level = (os.environ.get("PACS_LOG_LEVEL") or "INFO").upper()
    if level not in _LEVELS:
        raise environment.InvalidEnvironment(f"PACS_LOG_LEVEL is one of {', '.join(_LEVELS)}, not {level!r}.")
    common = {"formatter": formatter, "filters": ["identity"]}
    handlers: dict[str, Any] = {"console": {"class": "logging.StreamHandler", **common}}
    file = os.environ.get("PACS_LOG_FILE") or str(environment.data_directory() / "logs" / "pacs.log")
    if file != "off":
        handlers["file"] = {
            "()": "pacs.logs.SharedRotatingFileHandler",
            "filename": file,
            "maximum_bytes": environment.count("PACS_LOG_BYTES", 20_000_000),
            "kept": environment.count("PACS_LOG_KEPT", 10),
            **common,
        }
    syslog = os.environ.get("PACS_LOG_SYSLOG")
    if syslog:
        handlers["syslog"] = {"class": "logging.handlers.SysLogHandler", "address": _syslog_address(syslog), **common}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"identity": {"()": "pacs.logs.Identity"}},
        "formatters": {"text": {"()": "pacs.logs.TextFormatter"}, "json": {"()": "pacs.logs.JsonFormatter"}},
        "handlers": handlers,
        "root": {"level": level, "handlers": list(handlers)},
        "loggers": {
            # These name patients or repeat what we log ourselves.
            "pydicom": {"level": "ERROR"},
            "pynetdicom": {"level": "ERROR"},
            # One place logs an exception of a view: django.request.
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            "celery": {"level": "WARNING"},
            "kombu": {"level": "WARNING"},
            "boto3": {"level": "WARNING"},
            "botocore": {"level": "WARNING"},
            "gunicorn.access": {"level": "WARNING"},
        },
    }
