"""What one test commits, the next one does not see."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection

from apps.network.models import Peer
from tests.flush import flush, rows

pytestmark = pytest.mark.django_db(transaction=True)


def contents() -> dict[str, int]:
    """Rows of each table."""
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return {name: len(rows("default", name)) for name in names}


def types_and_permissions() -> set[tuple[str, str, str]]:
    return set(Permission.objects.values_list("content_type__app_label", "content_type__model", "codename"))


def test_it_leaves_what_djangos_own_leaves() -> None:
    call_command("flush", verbosity=0, interactive=False)
    expected = contents(), types_and_permissions()
    Peer.objects.create(name="somebody", ae_title="SOMEBODY")
    group = Group.objects.create(name="of a test")
    group.permissions.set(Permission.objects.all()[:3])
    ContentType.objects.get(app_label="network", model="peer").delete()
    assert (contents(), types_and_permissions()) != expected
    flush("default")
    assert (contents(), types_and_permissions()) == expected
    assert ContentType.objects.get_for_model(Peer).model_class() is Peer
