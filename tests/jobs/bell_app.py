"""Celery applications that tests ring: one whose broker is not there, one whose bell is heard."""

from typing import Any

from celery import Celery

deaf = Celery("deaf", broker="redis://127.0.0.1:1/0")
deaf.conf.update(broker_connection_timeout=1, broker_transport_options={"socket_connect_timeout": 1})


class Heard:
    def __init__(self) -> None:
        self.rung: list[str] = []

    def send_task(self, name: str, **options: Any) -> None:
        self.rung.append(name)


heard = Heard()
