"""What `reindex` makes of files and records is what was there, whatever was decided, and however late a file came.

`python -m pytest tests/storage/test_histories.py --histories 2000` looks at more of them.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from apps.storage import reindex
from tests.storage.histories import History, inconsistencies
from tests.storage.rows import difference, rows

pytestmark = pytest.mark.django_db(transaction=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    histories = metafunc.config.getoption("--histories")
    several = metafunc.function is test_reindex_gives_the_rows_that_several_made_at_once  # which take longer
    metafunc.parametrize("seed", range(histories // 3 if several else histories))


def check_reindex(told: list[list[str]]) -> None:
    before = rows()
    reindex.clear()
    report = reindex.reindex(lambda done: None)
    assert not report.failed
    assert difference(before, rows()) == [], told


def test_reindex_after_a_random_history_gives_the_rows_there_were(seed: int) -> None:
    history = History(seed)
    history.unfold()
    check_reindex([history.told])


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
    check_reindex(told)


def _alone(work: Callable[[int], None]) -> None:
    try:
        work(12)
    finally:
        connection.close()
