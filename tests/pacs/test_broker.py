"""The broker of an installation without one."""

import os
import threading
from collections.abc import Iterator

import pytest
from celery import signals
from kombu import Connection, Queue

from pacs import broker


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Connection("memory://", transport="pacs.broker:Transport") as made:
        yield made


def test_a_worker_that_stops_waits_for_no_message(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_PAUSE", 3600)
    connection.default_channel  # noqa: B018 - what is listened to
    outcome: list[type[BaseException]] = []

    def listen() -> None:
        try:
            connection.drain_events(timeout=3600)
        except TimeoutError:
            outcome.append(TimeoutError)

    worker = threading.Thread(target=listen, daemon=True)
    worker.start()
    signals.worker_shutting_down.send(sender="test")
    try:
        worker.join(60)
        assert outcome == [TimeoutError]
    finally:
        os.read(broker._wake_read, 1)


def test_a_message_is_delivered(connection: Connection) -> None:
    heard: list[object] = []
    queue = Queue("bells", channel=connection.default_channel)
    with (
        connection.Consumer(queue, callbacks=[lambda body, message: heard.append(body)], no_ack=True),
        connection.Producer() as producer,
    ):
        producer.publish("ring", routing_key="bells")
        connection.drain_events(timeout=1)
    assert heard == ["ring"]
