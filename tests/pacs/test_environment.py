import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pacs import environment
from tests.node import free_port


def test_an_address_may_leave_out_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_HTTP", "9000")
    assert environment.address("PACS_HTTP", "127.0.0.1:8000") == ("127.0.0.1", 9000)


def test_an_ipv6_address_stands_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_DIMSE", "[::1]:104")
    address = environment.address("PACS_DIMSE", "127.0.0.1:11112")
    assert address == ("::1", 104)
    assert environment.join(address) == "[::1]:104"


@pytest.mark.parametrize("text", ["localhost", "localhost:", "localhost:0", "localhost:65536", "localhost:dicom"])
def test_a_wrong_address_is_refused_with_the_name_of_its_variable(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_DIMSE", text)
    with pytest.raises(environment.InvalidEnvironment, match="PACS_DIMSE is HOST:PORT"):
        environment.address("PACS_DIMSE", "127.0.0.1:11112")


def test_a_wrong_number_is_refused_with_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_DRAIN", "soon")
    with pytest.raises(environment.InvalidEnvironment, match="PACS_DRAIN is a number"):
        environment.number("PACS_DRAIN", 10)


def test_the_made_secret_key_is_readable_by_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PACS_SECRET_KEY", raising=False)
    key = environment.secret_key(tmp_path)
    assert len(key) >= 50
    assert stat.S_IMODE(os.stat(tmp_path / "secret_key").st_mode) == 0o600
    assert environment.secret_key(tmp_path) == key


def test_processes_that_start_together_use_one_secret_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PACS_SECRET_KEY", raising=False)
    keys: list[str] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait()
        keys.append(environment.secret_key(tmp_path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_a_secret_key_from_the_environment_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_SECRET_KEY", "x" * 50)
    assert environment.secret_key(tmp_path) == "x" * 50
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variable", ["PACS_SECRET_KEY", "DATABASE_URL", "CELERY_BROKER_URL", "PACS_ADMIN_PASSWORD"])
def test_a_secret_may_come_from_a_file(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(variable, raising=False)
    assert environment.value(variable) == ""
    (tmp_path / "secret").write_text("redis://:pass@host/0\n")
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "secret"))
    assert environment.value(variable) == "redis://:pass@host/0"
    monkeypatch.setenv(variable, "another")
    with pytest.raises(environment.InvalidEnvironment, match="both set"):
        environment.value(variable)
    monkeypatch.delenv(variable)
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "missing"))
    with pytest.raises(environment.InvalidEnvironment, match=f"{variable}_FILE cannot be read"):
        environment.value(variable)


def test_spool_and_archive_may_stand_elsewhere(tmp_path: Path) -> None:
    places = {"PACS_SPOOL": str(tmp_path / "fast"), "PACS_ARCHIVE": str(tmp_path / "large")}
    environ = {**os.environ, "PACS_DATA": str(tmp_path / "data"), "PACS_NODE": "one", **places}
    code = "from pacs import settings; print(settings.SPOOL, settings.ARCHIVE)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=environment.BASE_DIR, env=environ, capture_output=True, text=True, timeout=60
    )
    assert said.stdout.split() == [str(tmp_path / "fast" / "one"), str(tmp_path / "large")]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PACS_ARCHIVE", __file__),
        ("PACS_SPOOL", __file__),
        ("PACS_DIMSE", "foo"),
        ("PACS_HTTP", "foo"),
        ("DATABASE_URL", "garbage"),
        ("DATABASE_URL", "mysql://user:hidden@host/name"),
        ("PACS_TIME_ZONE", "Mars/X"),
        ("PACS_DATA", __file__),
        ("PACS_LOG_LEVEL", "LOUD"),
        ("PACS_MINIMUM_FREE", "nan"),
        ("PACS_MINIMUM_FREE", "inf"),
        ("PACS_PROCESSES", "0"),
        ("PACS_PROCESSES", "1.5"),
        ("PACS_ADMIN_PASSWORD", "a"),
    ],
)
def test_a_wrong_environment_is_one_line_that_names_the_variable(variable: str, value: str, tmp_path: Path) -> None:
    environ = {**os.environ, "PACS_DATA": str(tmp_path), variable: value, "DJANGO_SETTINGS_MODULE": "pacs.settings"}
    command = [sys.executable, str(environment.BASE_DIR / "manage.py"), "standalone"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"{variable} is ")
    assert ended.stderr.count("\n") == 1
    assert "hidden" not in ended.stderr


def test_a_data_directory_that_cannot_be_made_is_one_line() -> None:
    environ = {**os.environ, "PACS_DATA": "/proc/nowhere", "DJANGO_SETTINGS_MODULE": "pacs.settings"}
    command = [sys.executable, str(environment.BASE_DIR / "manage.py"), "standalone"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.startswith("The directory /proc/nowhere cannot be made")
    assert ended.stderr.count("\n") == 1


def test_a_database_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "PACS_DATA": str(tmp_path),
        "PACS_HTTP": f"127.0.0.1:{free_port()}",
        "DATABASE_URL": f"postgresql://pacs:hidden@127.0.0.1:{free_port()}/pacs",
        "DJANGO_SETTINGS_MODULE": "pacs.settings",
    }
    command = [sys.executable, str(environment.BASE_DIR / "manage.py"), "standalone"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "The database cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hidden" not in ended.stderr


def test_a_web_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        http = f"127.0.0.1:{taken.getsockname()[1]}"
        environ = {
            **os.environ,
            "PACS_DATA": str(tmp_path),
            "PACS_HTTP": http,
            "DJANGO_SETTINGS_MODULE": "pacs.settings",
        }
        command = [sys.executable, str(environment.BASE_DIR / "manage.py"), "standalone"]
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert f"The web cannot open {http}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("text", "bucket", "prefix"),
    [
        ("s3://images", "images", ""),
        ("s3://images/", "images", ""),
        ("s3://images/hospital/pacs/", "images", "hospital/pacs"),
        ("/mnt/images", "", ""),
        ("", "", ""),
    ],
)
def test_the_archive_is_a_directory_or_a_bucket(
    text: str, bucket: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACS_ARCHIVE", text)
    directory = Path("/mnt/images") if text.startswith("/") else tmp_path / "archive"
    assert environment.archive(tmp_path) == (directory, bucket, prefix)


@pytest.mark.parametrize(
    "text",
    ["s3:images", "s3://", "s3://I", "s3://images/../other", "s3://images/a b", "s3:///x", "S3://images", "gs://x"],
)
def test_a_wrong_bucket_is_refused_with_the_name_of_its_variable(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACS_ARCHIVE", text)
    with pytest.raises(environment.InvalidEnvironment, match="PACS_ARCHIVE is a directory or s3://"):
        environment.archive(tmp_path)
