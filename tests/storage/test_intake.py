"""What is answered for what comes in (DESIGN section 8), and what is left of it on disk."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from blake3 import blake3
from django.db import connection
from pytest_django import Settings

from apps.storage import intake
from apps.storage.intake import Refused, wait_indexed
from apps.storage.received import dump, load, read
from apps.storage.sources import ForeignFile
from apps.storage.space import NoSpace, Reservation, Space
from apps.storage.spool import Spool, spool
from dicom import status
from dicom.errors import InvalidDataSet
from dicom.sop_classes import is_storage
from tests.node import wait_for
from tests.storage.made import CT, EXPLICIT, IMPLICIT, data_set, fragments, index, provenance, receive

HANGING_PROTOCOL = "1.2.840.10008.5.1.4.38.1"
ROOT = Path(__file__).resolve().parents[2]
DICOMDIR = "1.2.840.10008.1.3.10"


def written() -> list[Path]:
    """What stands in `tmp/` and is not blank."""
    return [path for path in spool().tmp.glob("*/*") if path.stat().st_size]


def nothing_is_left() -> bool:
    here = spool()
    return not (written() or os.listdir(here.ready) or os.listdir(here.failed))


def refusal(**values: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        receive(**values)
    assert nothing_is_left()
    return caught.value


def test_success_means_the_file_stands_in_ready_as_it_came() -> None:
    data = data_set(pixels=bytes(range(256)) * 400)
    received = receive(data)
    stored = read(spool().ready / received.name)
    assert stored == received
    assert stored.digest == blake3(data).hexdigest()
    assert (spool().ready / received.name).read_bytes()[received.dataset_offset :] == data
    assert written() == []


def test_the_file_says_who_sent_it_and_how() -> None:
    source = provenance(
        called_ae_title="ANY", receiving_ae_title="PACS", address="10.0.0.1", association_id="0f", policy="keep_first"
    )
    received = receive(source=source)
    said = read(spool().ready / received.name).provenance
    assert said.received_ns == int(received.name[:19])
    assert (said.calling_ae_title, said.called_ae_title, said.receiving_ae_title) == ("MODALITY", "ANY", "PACS")
    assert (said.address, said.association_id, said.peer) == ("10.0.0.1", "0f", "modality")


def test_a_notice_carries_all_that_the_file_says() -> None:
    received = receive()
    assert load(dump([received])) == [received]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_fragments_of_any_size_make_the_same_file(size: int) -> None:
    data = data_set()
    received = receive(pieces=fragments(data, size))
    assert received.digest == blake3(data).hexdigest()


def test_a_data_set_in_thousands_of_slices_is_written_whole() -> None:
    data = data_set(pixels=bytes(5000))
    view = memoryview(data)
    received = receive(pieces=[[view[n : n + 1] for n in range(len(view))]])
    assert received.digest == blake3(data).hexdigest()


def test_another_sop_instance_than_the_request_says_is_a900() -> None:
    refused = refusal(data=data_set(sop="1.2.3.4"), sop="1.2.3.5")
    assert (refused.status, refused.offending_elements) == (0xA900, (0x00080018,))


def test_another_sop_class_than_the_request_says_is_a900() -> None:
    refused = refusal(data=data_set(sop_class=CT), sop_class="1.2.840.10008.5.1.4.1.1.4")
    assert (refused.status, refused.offending_elements) == (0xA900, (0x00080016,))


def test_another_study_than_the_sender_named_is_a900() -> None:
    with pytest.raises(Refused) as caught:
        intake.receive(
            provenance=provenance(),
            sop_class_uid=CT,
            sop_instance_uid="1.2.3.1.1.1",
            transfer_syntax_uid=EXPLICIT,
            fragments=fragments(data_set()),
            study_instance_uid="1.2.4",
        )
    assert (caught.value.status, caught.value.offending_elements) == (0xA900, (0x0020000D,))
    assert nothing_is_left()


@pytest.mark.parametrize(
    ("name", "tag"), [("study", 0x0020000D), ("series", 0x0020000E), ("sop", 0x00080018), ("sop_class", 0x00080016)]
)
@pytest.mark.parametrize("value", [None, "", "../../etc/passwd", "1.2.x", "1." + "2" * 64, " "])
def test_a_missing_or_malformed_uid_is_c000_with_the_element(name: str, tag: int, value: str | None) -> None:
    values: dict[str, Any] = {name: value}
    with pytest.raises(Refused) as caught:
        receive(data_set(**values))
    assert (caught.value.status, caught.value.offending_elements) == (0xC000, (tag,))
    assert nothing_is_left()


@pytest.mark.parametrize("uid", ["../../x", "1." + "2" * 64, "", "1.2.3/4", "1.2.3\0.4"])
def test_a_request_with_a_malformed_instance_uid_is_c000_before_anything_is_written(uid: str) -> None:
    refused = refusal(data=data_set(), sop=uid)
    assert (refused.status, refused.offending_elements) == (0xC000, (0x00001000,))


@pytest.mark.parametrize("uid", ["01.02.003", "1.2.3\0", "1.2.3 "])
def test_uids_with_leading_zeros_or_padding_are_taken(uid: str) -> None:
    assert receive(data_set(study=uid)).header.uid(0x0020000D) == uid.strip("\0 ")


@pytest.mark.parametrize("sop_class", [HANGING_PROTOCOL, DICOMDIR, "1.2.840.10008.1.1"])
def test_objects_without_patient_and_directories_are_refused_cleanly(sop_class: str) -> None:
    assert refusal(sop_class=sop_class).status == status.SOP_CLASS_NOT_SUPPORTED


def test_a_private_sop_class_is_taken() -> None:
    assert receive(sop_class="1.2.3.4.5").sop_class_uid == "1.2.3.4.5"


def test_a_data_set_cut_short_is_c000() -> None:
    assert refusal(data=data_set()[:40]).status == 0xC000


def test_no_data_set_at_all_is_c000() -> None:
    assert refusal(data=b"").status == 0xC000


def test_garbage_is_c000() -> None:
    assert refusal(data=os.urandom(5000)).status == 0xC000


def test_a_broken_association_leaves_nothing() -> None:
    def broken() -> Iterator[list[memoryview]]:
        yield [memoryview(data_set())[:50]]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        receive(pieces=broken())
    assert nothing_is_left()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open", "pwrite", "fdatasync", "fsync"])
def test_whatever_our_disk_refuses_is_a700_and_works_again_later(
    call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool()

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as failing:
        failing.setattr(os, call, refuse)
        with pytest.raises(Refused) as caught:
            receive()
    assert caught.value.status == 0xA700
    assert written() == []
    if call in ("open", "fsync"):
        assert list(spool().tmp.glob("*/*")) == [], "a disk that fails for long is not filled with blanks"
    receive()


def test_a_durable_file_that_cannot_be_moved_is_moved_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as failing:
        failing.setattr(os, "rename", refuse)
        names = [receive(sop="1.1").name, receive(sop="1.2").name]
        assert wait_indexed(names, timeout=0.01) is False
        assert spool().waiting() == []
        assert len(written()) == 2
    receive(sop="1.3")
    assert set(spool().waiting()) > set(names)


def test_what_is_announced_is_handed_over_before_long() -> None:
    received = intake.receive(
        provenance=provenance(),
        sop_class_uid=CT,
        sop_instance_uid="1.2.3.1.1.1",
        transfer_syntax_uid=EXPLICIT,
        fragments=fragments(data_set()),
    )
    assert (len(written()), spool().waiting(), spool().is_waiting(received.name)) == (1, [], True)
    intake.announce(received)
    wait_for(lambda: spool().waiting() == [received.name], what="it is in ready/")
    assert written() == []


@pytest.mark.parametrize("most", [1000, 4096, 4096 * 50])
def test_a_disk_that_takes_less_than_it_is_given_is_given_the_rest(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_set(pixels=bytes(range(256)) * 1000)
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, memoryview(data)[:most], offset))
    assert read(spool().ready / receive(data).name).digest == blake3(data).hexdigest()
    (name,) = spool().waiting()
    assert (spool().ready / name).read_bytes().endswith(data)


def test_below_the_watermark_nothing_is_taken_until_there_is_space_again(settings: Settings) -> None:
    status_now = os.statvfs(spool().root)
    settings.MINIMUM_FREE = status_now.f_bavail * status_now.f_frsize
    assert refusal().status == 0xA700
    settings.MINIMUM_FREE = 0
    receive()


def test_receives_that_run_at_once_do_not_count_on_the_same_space(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    space = Space(tmp_path, free - (100 << 20))
    first, second = Reservation(space), Reservation(space)
    first.use(70 << 20)
    with pytest.raises(NoSpace):
        second.use(70 << 20)
    first.close()


def test_a_reservation_that_was_not_used_is_given_back(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    space = Space(tmp_path, free - (100 << 20))
    for _ in range(1000):
        reservation = Reservation(space)
        reservation.use(10)
        reservation.close()
    assert space._reserved == 0


def test_a_large_receive_reserves_little_more_than_it_has_written(tmp_path: Path) -> None:
    space = Space(tmp_path, 0)
    reservation = Reservation(space)
    for _ in range(500):
        reservation.use(1 << 20)
    assert space._reserved <= 2 << 20
    reservation.close()
    assert space._reserved == 0


def dead_writer(root: Path) -> Path:
    """The directory of a process that has ended, with a whole file under a name in `tmp/`; and its data set."""
    script = f"""
import os, signal
from pathlib import Path
from apps.failpoints import arm
from apps.storage.spool import Spool
from apps.storage import intake
from apps.storage.blanks import Blanks
from tests.storage.made import receive
here = Spool(Path({str(root)!r}), "main")
here.make()
intake.spool = lambda: here
arm("intake.rename:kill:2")
receive(sop="1.1")
receive(sop="1.2", pixels=bytes(3 << 20))
"""
    setup = "import django; django.setup(); from django.conf import settings; settings.MINIMUM_FREE = 0\n"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    ended = subprocess.run([sys.executable, "-c", setup + script], env=environment, cwd=ROOT, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    (folder,) = (root / "tmp").iterdir()
    return folder


def test_a_whole_file_whose_rename_a_power_cut_undid_is_found_and_the_rest_is_cleared(tmp_path: Path) -> None:
    root = tmp_path / "other"
    folder = dead_writer(root)
    (sealed,) = (path for path in folder.iterdir() if path.stat().st_size)
    content = sealed.read_bytes()
    torn = {
        "900": content[:-1],
        "901": content[: 1 << 20],
        "902": bytes(len(content)),
        "903": content[:200],
        "904": b"",
    }
    flipped = bytearray(content)
    flipped[-1] ^= 1
    for name, left in {**torn, "905": bytes(flipped)}.items():
        (folder / name).write_bytes(left)
    ready = {path.name for path in (root / "ready").iterdir()}
    (root / "tmp" / "not-ours").mkdir()
    (root / "tmp" / "not-ours-either").touch()
    assert Spool(root, "main").take_over() == 1
    (root / "tmp" / "not-ours").rmdir()
    (root / "tmp" / "not-ours-either").unlink()
    assert list((root / "tmp").iterdir()) == []
    (found,) = {path.name for path in (root / "ready").iterdir()} - ready
    assert (root / "ready" / found).read_bytes() == content
    said = read(root / "ready" / found)
    assert (said.sop_instance_uid, said.provenance.received_ns) == ("1.2", int(found[:19]))
    assert found.endswith(f"-main-{folder.name.partition('-')[0]}-{sealed.name}"), "the name it was about to get"


def test_what_a_living_process_writes_is_left_alone() -> None:
    def pieces() -> Iterator[list[memoryview]]:
        view = memoryview(data_set(pixels=bytes(3 << 20)))
        yield [view[: 2 << 20]]
        assert Spool(spool().root, spool().node).take_over() == 0
        yield [view[2 << 20 :]]

    assert read(spool().ready / receive(pieces=pieces()).name).size > 3 << 20


@pytest.mark.parametrize("gone", ["main/tmp", "main/tmp/*", "main/tmp/*/*", "main/ready", "main"])
def test_directories_removed_under_a_running_server_are_made_again(gone: str) -> None:
    receive(sop="1.1")
    for path in list(spool().root.parent.glob(gone)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    kept = spool().waiting()
    second = receive(sop="1.2")
    assert spool().waiting() == [*kept, second.name]


def test_a_tmp_directory_that_was_moved_away_is_written_to_no_more() -> None:
    receive(sop="1.1")
    spool().tmp.rename(spool().root / "old")
    receive(sop="1.2")
    assert spool().tmp.is_dir()
    before = len(list((spool().root / "old").glob("*/*")))
    receive(sop="1.3")
    assert len(list((spool().root / "old").glob("*/*"))) == before
    assert len(spool().waiting()) == 3


def test_an_idle_spool_gets_its_tmp_directory_back() -> None:
    shutil.rmtree(spool().tmp)
    assert spool().take_over() == 0
    assert spool().tmp.is_dir()


def test_a_ready_directory_that_was_exchanged_is_the_one_that_is_used() -> None:
    receive(sop="1.1")
    spool().ready.rename(spool().root / "old")
    assert wait_indexed([receive(sop="1.2").name], timeout=0.01) is False
    assert len(spool().waiting()) == 1


@pytest.mark.parametrize("size", [100, (1 << 17) - 5000, 1 << 17, (1 << 20) - 800, 1 << 20, (5 << 20) + 1])
@pytest.mark.parametrize("direct", [True, False])
def test_an_instance_of_any_size_is_written_as_it_came(size: int, direct: bool, settings: Settings) -> None:
    settings.DIRECT_IO = direct
    data = data_set(pixels=os.urandom(size // 2 * 2))
    received = receive(pieces=fragments(data, 16_372))
    assert (spool().ready / received.name).read_bytes()[received.dataset_offset :] == data
    assert read(spool().ready / received.name) == received
    assert received.digest == blake3(data).hexdigest()


def test_a_file_system_without_direct_writes_takes_large_images_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite

    def refuse(fd: int, data: memoryview, offset: int) -> int:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", refuse)
    data = data_set(pixels=bytes(range(256)) * 8000)
    assert (spool().ready / receive(data).name).read_bytes().endswith(data)


def test_a_node_whose_name_would_leave_the_spool_is_refused(tmp_path: Path) -> None:
    for name in ("../x", "", "a/b", "n" * 25):
        with pytest.raises(ValueError, match="node"):
            Spool(tmp_path, name)


def test_many_threads_receive_at_once_without_a_name_twice() -> None:
    def work(thread: int) -> None:
        for number in range(20):
            uid = f"1.2.3.{thread}.{number}"
            receive(sop=uid)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spool().waiting()) == 160


def test_waiting_for_the_index_ends_when_time_is_up() -> None:
    assert wait_indexed([receive().name], timeout=0.05) is False


@pytest.mark.django_db(transaction=True)
def test_waiting_for_the_index_ends_when_all_is_indexed() -> None:
    names = [receive(sop=f"1.2.{number}").name for number in range(3)]

    def run() -> None:
        try:
            index()
        finally:
            connection.close()

    waiting = threading.Thread(target=run)
    waiting.start()
    assert wait_indexed(names, timeout=30) is True
    waiting.join()
    assert wait_indexed(names) is True


# Those in the package: asking pydicom for a list downloads others.
PYDICOM_FILES = sorted(path for path in Path(pydicom.data.__file__).parent.rglob("*") if path.suffix in ("", ".dcm"))


@pytest.mark.django_db(transaction=True)
def test_every_file_of_pydicom_is_stored_bit_for_bit_or_refused_with_a_reason() -> None:
    stored: dict[str, bytes] = {}
    refused: dict[Path, str] = {}
    for path in filter(Path.is_file, PYDICOM_FILES):
        try:
            source = ForeignFile.read(path)
            with source.open() as opened:
                data = os.pread(opened.fd, opened.size, opened.dataset_offset)
        except InvalidDataSet as error:
            refused[path] = str(error)
            continue
        try:
            received = intake.receive(
                provenance=provenance(),
                sop_class_uid=source.sop_class_uid,
                sop_instance_uid=source.sop_instance_uid,
                transfer_syntax_uid=source.transfer_syntax_uid,
                fragments=fragments(data),
            )
        except Refused as error:
            assert error.status in (0xA900, 0xC000, 0x0122), path
            refused[path] = str(error)
        else:
            stored[received.name] = data
    intake.hand_over()
    for name, data in stored.items():
        assert (spool().ready / name).read_bytes().endswith(data)
        assert read(spool().ready / name).digest == blake3(data).hexdigest()
    index()
    assert spool().waiting() == []
    assert os.listdir(spool().failed) == []
    assert len(stored) > len(refused)
    assert is_storage(CT) and IMPLICIT
