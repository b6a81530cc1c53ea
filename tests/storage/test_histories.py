"""What `reindex` makes of files and records is what was there, whatever was decided, and however late a file came.

`python -m pytest tests/storage/test_histories.py --histories 2000` looks at more of them.
"""

import pytest

from apps.storage import reindex
from tests.storage.histories import History
from tests.storage.rows import difference, rows

pytestmark = pytest.mark.django_db(transaction=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("seed", range(metafunc.config.getoption("--histories")))


def test_reindex_after_a_random_history_gives_the_rows_there_were(seed: int) -> None:
    history = History(seed)
    history.unfold()
    before = rows()
    reindex.clear()
    report = reindex.reindex(lambda done: None)
    assert not report.failed
    assert difference(before, rows()) == [], history.told
