"""C-FIND by the names of physicians: each component group, and each of several names."""

from importlib import import_module
from io import BytesIO

import pytest
from django.apps import apps
from pydicom import dcmread
from pynetdicom.dsutils import encode

from apps.storage.models import Series, Study
from tests.qr.conftest import Serve
from tests.qr.serving import statuses
from tests.storage.made import data_set, index, receive

PENDING, SUCCESS = 0xFF00, 0x0000


@pytest.fixture
def physicians(folders: None) -> None:
    ds = dcmread(BytesIO(data_set(character_set="ISO_IR 192")), force=True)
    ds.ReferringPhysicianName = "Yamada^Taro=山田^太郎=やまだ^たろう"
    ds.PerformingPhysicianName = ["Smith^Anna", "Suzuki^Ken=鈴木^健"]
    receive(encode(ds, False, True) or b"")
    receive(study="9.1", series="9.1.1", sop="9.1.1.1", referring="Yama^T")
    index()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("yamada^taro", 1),
        ("=山田*", 1),
        ("*太郎", 1),
        ("太郎", 0),
        ("==やまだ^たろう", 1),
        ("Yama*=山*=*", 1),
        ("=鈴木*", 0),
    ],
)
def test_a_physician_is_found_by_each_group_of_his_name(physicians: None, serve: Serve, name: str, found: int) -> None:
    asked = {"SpecificCharacterSet": "ISO_IR 192", "ReferringPhysicianName": name}
    assert statuses(serve().find(QueryRetrieveLevel="STUDY", **asked)) == [PENDING] * found + [SUCCESS]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("smith^anna", 1),
        ("SUZUKI*", 1),
        ("suzuki^ken", 1),
        ("=鈴木^健", 1),
        ("鈴木*", 1),
        ("anna", 0),
        ("*anna*ken", 0),
    ],
)
def test_each_of_several_physicians_is_found(physicians: None, serve: Serve, name: str, found: int) -> None:
    asked = {"SpecificCharacterSet": "ISO_IR 192", "PerformingPhysicianName": name}
    assert statuses(serve().find(QueryRetrieveLevel="SERIES", **asked)) == [PENDING] * found + [SUCCESS]


def test_physicians_of_an_older_index_are_found_after_the_migration(physicians: None, serve: Serve) -> None:
    Study.objects.update(referring_physician_name_ideographic_key="")
    Series.objects.update(performing_physician_name_key="smith^anna")
    import_module("apps.storage.migrations.0006_names_of_physicians").fill(apps, None)
    asked = {"ReferringPhysicianName": "=山田^太郎", "PerformingPhysicianName": "suzuki*"}
    found = serve().find(QueryRetrieveLevel="SERIES", SpecificCharacterSet="ISO_IR 192", **asked)
    assert statuses(found) == [PENDING, SUCCESS]
