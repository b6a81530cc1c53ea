"""What the campaign of jobs asks for, within the installation: `manage.py shell` calls these."""

from django.contrib.auth.models import User

from apps.accounts.principal import Principal
from apps.accounts.users import principal_of
from apps.jobs import kind, queue
from apps.jobs.models import Job
from apps.network.models import Peer

MOST = 50  # attempts: by chance, a job may be the one whose worker is killed many times


def fill(*, jobs: int, long: int, long_seconds: float, sends: int, studies: int, port: int) -> None:
    """Mostly small ones; a few that send, a few that are longer than the lease."""
    admin = _admin()
    _peer("receiver", "RECEIVER", port, jobs_at_once=4)
    for number in range(jobs - long - sends):
        _steps(admin, seconds=0.3, items=["1", "2", "3"], priority=number % 3)
    for _ in range(long):
        _steps(admin, seconds=long_seconds, items=["1"], priority=9)
    for number in range(sends):
        _of_study("send", "receiver", f"1.2.9.{number % studies}")


def one(name: str, *, port: int) -> int:
    """A job of this kind."""
    _peer("receiver", "RECEIVER", port)
    if name == "steps":
        return _steps(_admin(), seconds=0.05, items=["1", "2", "3"]).pk
    return _of_study(name, "receiver", "1.2.9.0").pk


def _admin() -> Principal:
    return principal_of(User.objects.get(username="admin"))


def _peer(name: str, ae_title: str, port: int, **more: int) -> None:
    Peer.objects.get_or_create(name=name, defaults={"ae_title": ae_title, "host": "127.0.0.1", "port": port, **more})


def _steps(admin: Principal, *, seconds: float, items: list[str], priority: int = 0) -> Job:
    return queue.submit(
        kind="steps",
        principal=admin,
        arguments={"seconds": seconds},
        items=items,
        priority=priority,
        maximum_attempts=MOST,
    )


def _of_study(name: str, peer: str, uid: str) -> Job:
    arguments = {"peer": peer, "study_instance_uids": [uid]}
    return kind.request(name, principal=_admin(), arguments=arguments)
