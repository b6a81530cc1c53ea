import importlib

import pytest
from django.apps import apps

from apps.network.models import ConfigVersion


@pytest.fixture(autouse=True)
def first_rows(request: pytest.FixtureRequest) -> None:
    """What the migrations put in; a test with real transactions empties all tables after itself."""
    marker = request.node.get_closest_marker("django_db")
    if marker is None:
        return
    request.getfixturevalue("transactional_db" if marker.kwargs.get("transaction") else "db")
    if not ConfigVersion.objects.exists():
        importlib.import_module("apps.network.migrations.0002_first_rows").make(apps, None)
