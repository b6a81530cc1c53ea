import os
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.network import nodes
from apps.network.models import Node
from apps.network.nodes import Heartbeat
from tests.node import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_process_lives_while_it_says_so_and_an_orderly_end_is_seen_at_once() -> None:
    heartbeat = Heartbeat("worker", interval=0.02)
    heartbeat.start()
    first = wait_for(lambda: Node.objects.first())
    wait_for(lambda: Node.objects.get().seen_at > first.seen_at)
    assert nodes.alive("main") == {"worker"}
    heartbeat.stop()
    assert not Node.objects.exists()


def test_a_silent_process_is_not_alive_and_forgotten_after_a_day() -> None:
    now = timezone.now()
    for role, seen in (("indexer", now - timedelta(minutes=1)), ("listeners", now - timedelta(days=2))):
        Node.objects.create(node="main", role=role, process=1, started_at=seen, seen_at=seen, version="1")
    assert nodes.alive("main") == frozenset()
    Heartbeat("worker").beat()
    assert {row.role for row in Node.objects.all()} == {"indexer", "worker"}
    Heartbeat("indexer").beat()
    assert {row.process for row in Node.objects.all()} == {os.getpid()}, "the silent one has a successor"
    assert nodes.alive("elsewhere") == frozenset()
