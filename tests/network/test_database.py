import pytest
from django.db import Error, OperationalError, connection, transaction

from apps.network.database import borrowed, fetched, give_back
from apps.network.models import Peer

pytestmark = pytest.mark.django_db(transaction=True)


def is_open() -> bool:
    return connection.connection is not None


def test_a_borrowed_connection_goes_back_to_the_pool_and_that_of_sqlite_stays_with_its_thread() -> None:
    give_back()
    with borrowed():
        assert Peer.objects.exists()
        assert is_open()
    assert is_open() is (connection.vendor == "sqlite")
    give_back()
    assert not is_open()


def test_a_block_that_fails_keeps_no_more_than_one_that_does_not() -> None:
    with pytest.raises(ZeroDivisionError), borrowed():
        Peer.objects.exists()
        raise ZeroDivisionError
    assert is_open() is (connection.vendor == "sqlite")


def test_inside_a_transaction_the_outer_block_keeps_the_connection() -> None:
    with transaction.atomic():
        with borrowed():
            Peer.objects.update(query_limit=3)
        give_back()
        assert is_open()
    assert Peer.objects.get().query_limit == 3


def test_after_an_error_of_the_database_no_connection_is_kept() -> None:
    with pytest.raises(OperationalError), borrowed():
        Peer.objects.exists()
        raise OperationalError("gone")
    assert not is_open()


@pytest.mark.parametrize("keeps_plan", [True, False])
def test_a_statement_by_hand_sees_the_transaction_it_is_in_and_leaves_no_connection_open(keeps_plan: bool) -> None:
    asked = "SELECT query_limit FROM network_peer WHERE query_limit = %s"
    with transaction.atomic():
        Peer.objects.update(query_limit=3)
        assert fetched(asked, [3], keeps_plan=keeps_plan) == [(3,)]
    give_back()
    for _ in range(20):  # more than the pool has, and prepared meanwhile
        with borrowed():
            assert fetched(asked, [3], keeps_plan=keeps_plan) == [(3,)]
    assert is_open() is (connection.vendor == "sqlite")


def test_after_a_statement_that_fails_the_next_one_works() -> None:
    give_back()
    with pytest.raises(Error), borrowed():
        fetched("SELECT nothing", [])
    with borrowed():
        assert fetched("SELECT 1", []) == [(1,)]
    give_back()
