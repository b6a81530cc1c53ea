"""DELETE of studies, series and instances."""

import secrets

import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.uid import generate_uid

from tests.node import Node
from tests.storage.stow.web import (
    data_set_of,
    encoded,
    file_of,
    framed,
    image,
    post,
    url,
)

pytestmark = pytest.mark.live


def test_the_client_deletes_instance_series_and_study(client: DICOMwebClient, node: Node) -> None:
    study = generate_uid()
    images = [image(study) for _ in range(4)]
    for ds in images[1:3]:
        ds.SeriesInstanceUID = images[1].SeriesInstanceUID
    client.store_instances(images)
    client.delete_instance(study, images[1].SeriesInstanceUID, images[1].SOPInstanceUID)
    assert len(client.search_for_instances(study)) == 3
    client.delete_series(study, images[1].SeriesInstanceUID)
    assert len(client.search_for_series(study)) == 2
    client.delete_study(study)
    assert client.search_for_studies(search_filters={"StudyInstanceUID": study}) == []
    deleted = node.sql("SELECT DISTINCT record FROM storage_deletedinstance WHERE study_instance_uid = %s", [study])
    assert len(deleted) == 3


def test_what_was_deleted_is_410_what_never_was_404_and_what_is_sent_again_is_there(
    node: Node, session: requests.Session
) -> None:
    ds = image()
    body = framed(encoded(ds))
    post(node, session, body)
    paths = [f"/studies/{ds.StudyInstanceUID}"]
    paths.append(f"{paths[0]}/series/{ds.SeriesInstanceUID}")
    paths.append(f"{paths[1]}/instances/{ds.SOPInstanceUID}")
    assert session.delete(url(node, f"{paths[1]}/instances/9.9.9")).status_code == 404
    assert session.delete(url(node, f"{paths[0]}/series/9.9.9")).status_code == 404
    assert session.delete(url(node, "/studies/9.9.9")).status_code == 404
    assert session.delete(url(node, "/studies/9.x")).status_code == 400
    answer = session.delete(url(node, paths[2]))
    assert (answer.status_code, answer.content) == (204, b"")
    assert [session.delete(url(node, path)).status_code for path in paths] == [410, 410, 410]
    assert post(node, session, body).status_code == 200
    assert file_of(node, ds.SOPInstanceUID)[0] == data_set_of(encoded(ds))


def test_who_is_no_administrator_deletes_nothing(node: Node, session: requests.Session) -> None:
    node.shell(
        "from django.contrib.auth.models import Group, User\n"
        "for name, role in (('sender', 'Technologists'), ('chief', 'Administrators')):\n"
        "    User.objects.create_user(name, password='correct-horse-' + name).groups.add(Group.objects.get(name=role))"
    )
    ds = image()
    post(node, session, framed(encoded(ds)))
    address = url(node, f"/studies/{ds.StudyInstanceUID}")
    assert requests.delete(address, auth=("sender", "correct-horse-sender")).status_code == 403
    assert requests.delete(address).status_code == 401
    assert requests.delete(address, auth=("chief", "correct-horse-chief")).status_code == 204


def test_an_image_that_is_being_read_is_deleted_and_still_read_to_its_end(
    node: Node, session: requests.Session
) -> None:
    ds = image()
    ds.PixelData = secrets.token_bytes(8 << 20)
    post(node, session, framed(encoded(ds)))
    address = url(node, f"/studies/{ds.StudyInstanceUID}")
    accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    with session.get(address, headers=accept, stream=True) as reading:
        pieces = reading.iter_content(1 << 16)
        first = next(pieces)
        assert session.delete(address).status_code == 204
        assert data_set_of(encoded(ds))[-(1 << 20) :] in first + b"".join(pieces)
