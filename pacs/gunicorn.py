"""How gunicorn serves `pacs.wsgi`: `gunicorn -c python:pacs.gunicorn pacs.wsgi`."""

from gunicorn.http import message
from gunicorn.workers.base import Worker

from pacs import environment, logs, supervision

supervision.end_with_supervisor()

bind = environment.join(environment.address("PACS_HTTP", "127.0.0.1:8000"))
proc_name = "pacs-web"
worker_class = "pacs.web_worker.Worker"
workers = environment.count("PACS_WEB_PROCESSES", 1)
threads = environment.count("PACS_WEB_THREADS", 32)
backlog = 512
timeout = 60
graceful_timeout = 8
keepalive = 5
# Viewers ask for lists of a thousand UIDs. Gunicorn takes 8,190 bytes, or any number of them: the cap is a constant.
limit_request_line = message.MAX_REQUEST_LINE = 1 << 16
control_socket_disable = True


def post_worker_init(worker: Worker) -> None:
    """A worker whose master was killed leaves the port at once to those of the next."""
    supervision.end_with(worker.ppid)


logconfig_dict = {
    **logs.configuration(),
    "loggers": {
        **logs.configuration()["loggers"],
        "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
        "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
    },
}
