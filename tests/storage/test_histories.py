"""What `reindex` makes of files and records is what was there, whatever was decided, and however late a file came.

`python -m pytest tests/storage/test_histories.py --histories 2000` looks at more of them.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from tests.storage.histories import History, inconsistencies
from tests.storage.rows import reindexed_difference

pytestmark = pytest.mark.django_db(transaction=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    histories = metafunc.config.getoption("--histories")
    several = metafunc.function is test_reindex_gives_the_rows_that_several_made_at_once  # which take longer
    metafunc.parametrize("seed", range(histories // 3 if several else histories))


def test_reindex_after_a_random_history_gives_the_rows_there_were(seed: int) -> None:
    history = History(seed)
    history.unfold()
    assert reindexed_difference() == [], history.told


def test_reindex_gives_the_rows_that_several_made_at_once(seed: int) -> None:
    """Two who index and two who decide."""
    History(seed).receive(2)
    parts = [History(1000 * seed + number) for number in range(1, 5)]
    with ThreadPoolExecutor(len(parts)) as pool:
        work = [*(part.receive for part in parts[:2]), *(part.decide for part in parts[2:])]
        for done in [pool.submit(_alone, each) for each in work]:
            done.result()
    told = [part.told for part in parts]
    assert list(inconsistencies()) == [], told
    assert reindexed_difference() == [], told


def _alone(work: Callable[[int], None]) -> None:
    try:
        work(12)
    finally:
        connection.close()
