"""The synthetic archive fits the tables as they are."""

import pytest
from django.db import connection

from apps.storage.models import Instance, Patient, Study
from benchmarks.synthetic import fill


@pytest.mark.django_db(transaction=True)
def test_a_synthetic_archive_has_an_instance_for_each_study() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("made for PostgreSQL")
    fill(50)
    assert (Patient.objects.count(), Study.objects.count(), Instance.objects.count()) == (20, 50, 50)
    assert Instance.objects.filter(series__study__patient__isnull=False).count() == 50
