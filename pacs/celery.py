"""The Celery application; names everything of ours by string, for it is imported before the apps are ready.

`celery -A pacs worker` runs jobs; `celery -A pacs worker --dimse[=NAMES]` runs the DIMSE listeners instead, and with
`--queues=jobs` both.
"""

import os
import warnings
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning
from click import Context, Option, Parameter

from pacs import supervision

supervision.end_with_supervisor()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacs.settings")

# It is about pickled messages as root; ours are JSON without arguments.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("pacs")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["apps.jobs"])
app.steps["worker"].update(f"pacs.bootsteps:{step}" for step in ("DimseStep", "HeartbeatStep", "SweepStep"))


def _dimse_defaults(context: Context, parameter: Parameter, value: str | None) -> str | None:
    """A worker that runs the listeners has its own queue, unless told otherwise."""
    if value is not None:
        queue = f"dimse.{os.environ.get('PACS_NODE') or 'main'}"
        context.default_map = {"queues": queue, **(context.default_map or {})}
    return value


app.user_options["worker"].add(
    Option(
        ["--dimse"],
        is_flag=False,
        flag_value="*",
        default=None,
        is_eager=True,
        callback=_dimse_defaults,
        metavar="[NAMES]",
        help="Run the DIMSE listeners, or those named (comma-separated), in processes of their own.",
    )
)


@signals.setup_logging.connect
def keep_our_logging(**options: Any) -> None:
    """Logging is set up once, by the settings."""
