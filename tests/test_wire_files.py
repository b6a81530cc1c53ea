"""Real and broken files on the real wire: what is acknowledged is kept bit by bit, and a refusal has its reason."""

from pathlib import Path

import pytest

from tests.campaigns.files import bundled, by_ours, by_storescu
from tests.node import Node
from tests.peers import peer

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def test_every_file_that_storescu_can_send_is_kept_as_it_was_on_the_wire_or_refused(node: Node, tmp_path: Path) -> None:
    peer("storescu")
    node.start()
    verdicts = list(by_storescu(node, tmp_path, bundled()))
    assert sum("stored bit by bit" in verdict for verdict in verdicts) > 130


def test_every_file_that_we_send_is_kept_as_it_is_on_disk_or_refused(node: Node) -> None:
    peer("dcmdump")
    node.start()
    verdicts = list(by_ours(node, bundled()))
    assert sum("stored bit by bit" in verdict for verdict in verdicts) > 130
