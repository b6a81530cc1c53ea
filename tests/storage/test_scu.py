"""What is sent is what is stored, in the transfer syntax the receiver takes; DCMTK's storescp is the receiver."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from apps.storage.models import Instance
from apps.storage.scu import CONTEXTS, plan
from apps.storage.sources import Archived, ForeignFile
from tests.storage.made import CT, EXPLICIT, IMPLICIT, MR, data_set, index, receive
from tests.storage.storescp import StoreScp

pytestmark = pytest.mark.django_db(transaction=True)

JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[StoreScp]:
    receiver = StoreScp(tmp_path / "received", "--accept-all")
    yield receiver
    receiver.stop()


@pytest.fixture
def implicit_storescp(tmp_path: Path) -> Iterator[StoreScp]:
    receiver = StoreScp(tmp_path / "received", "--implicit")
    yield receiver
    receiver.stop()


def test_an_archived_instance_leaves_bit_for_bit_as_it_came(storescp: StoreScp) -> None:
    data = data_set(pixels=bytes(range(256)) * 2048)
    receive(data)
    index()
    (outcome,) = storescp.take(Archived(Instance.objects.get()))
    assert outcome.status == 0
    (file,) = storescp.files()
    assert file.read_bytes().endswith(data)


def test_explicit_vr_is_written_as_implicit_for_a_receiver_that_takes_nothing_else(implicit_storescp: StoreScp) -> None:
    receive()
    index()
    (outcome,) = implicit_storescp.take(Archived(Instance.objects.get()))
    assert outcome.status == 0
    sent = dcmread(implicit_storescp.files()[0])
    assert sent.file_meta.TransferSyntaxUID == IMPLICIT
    assert sent.PatientName == "Doe^John"


def test_pixels_are_decoded_for_a_receiver_that_takes_no_compression(implicit_storescp: StoreScp) -> None:
    path = Path(str(get_testdata_file("MR_small_jp2klossless.dcm")))
    source = ForeignFile.read(path)
    assert source.transfer_syntax_uid == JPEG_2000_LOSSLESS
    (outcome,) = implicit_storescp.take(source)
    assert outcome.status == 0
    assert dcmread(implicit_storescp.files()[0]).PixelData == dcmread(str(get_testdata_file("MR_small.dcm"))).PixelData


def test_an_instance_whose_file_is_gone_fails_alone(storescp: StoreScp, archive: Path) -> None:
    for number in (1, 2, 3):
        receive(sop=f"1.2.3.1.1.{number}", number=str(number))
    index()
    rows = list(Instance.objects.order_by("sop_instance_uid"))
    (archive / rows[1].path).unlink()
    outcomes = storescp.take(*map(Archived, rows))
    assert [outcome.status for outcome in outcomes] == [0, 0x0110, 0]
    assert len(storescp.files()) == 2


def test_a_sop_class_the_receiver_does_not_take_fails_alone(storescp: StoreScp) -> None:
    receive(sop="1.2.3.1.1.1")
    receive(sop="1.2.3.1.1.2", sop_class="1.2.3.4.5.6.7")
    index()
    outcomes = storescp.take(*map(Archived, Instance.objects.order_by("sop_instance_uid")))
    assert [outcome.status for outcome in outcomes] == [0, 0x0122]


def test_the_sender_goes_on_over_a_new_association_when_one_is_lost(storescp: StoreScp) -> None:
    for number in range(6):
        receive(sop=f"1.2.3.1.1.{number}", number=str(number))
    index()
    rows = list(Instance.objects.order_by("sop_instance_uid"))
    with storescp.sender({(CT, EXPLICIT)}) as sender:
        outcomes = []
        for number, row in enumerate(rows):
            if number == 3:
                sender._open[0].abort()
            outcomes.append(sender.send(Archived(row)).status)
    assert outcomes == [0] * 6
    assert len(storescp.files()) == 6


def test_when_the_receiver_is_gone_the_rest_fails_without_waiting_for_each(storescp: StoreScp) -> None:
    receive()
    index()
    row = Archived(Instance.objects.get())
    with storescp.sender({(CT, EXPLICIT)}) as sender:
        assert sender.send(row).status == 0
        storescp.stop()
        assert {sender.send(row).status for _ in range(100)} == {0x0110}


def test_each_syntax_has_a_context_and_implicit_is_always_offered() -> None:
    (proposals,) = plan({(CT, EXPLICIT), (CT, JPEG_2000_LOSSLESS), (MR, JPEG_2000_LOSSLESS)})
    assert proposals == [
        (CT, (EXPLICIT,)),
        (CT, (JPEG_2000_LOSSLESS,)),
        (CT, (IMPLICIT,)),
        (MR, (JPEG_2000_LOSSLESS,)),
        (MR, (EXPLICIT, IMPLICIT)),
    ]


def test_more_kinds_than_contexts_are_sent_over_more_associations(storescp: StoreScp) -> None:
    associations = plan({(f"1.2.3.{number}", EXPLICIT) for number in range(100)})
    assert [len(proposals) for proposals in associations] == [CONTEXTS, 200 - CONTEXTS]
