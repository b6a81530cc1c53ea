"""What scenarios are made of: the sizes of the work, the running servers with what they hold, contenders and rounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from benchmarks import data
from benchmarks.clients import Elapsed, run_together
from benchmarks.peers import NAGLE_OFF, Archive, Orthanc, Ours, Server, Storescp
from benchmarks.processes import Program, debian

S = TypeVar("S", bound=Server)

FRAMES = 60  # of the multi-frame image that frames are taken from


@dataclass(frozen=True, slots=True)
class Size:
    """How much work one run is; the short form is for trying the harness out."""

    ct_512k: int = 125
    ct_8k: int = 2000
    stock_512k: int = 60
    stock_8k: int = 200
    studies: int = 20_000
    frames: int = 600
    sent_512k: int = 1000
    sent_8k: int = 6000
    repeats: int = 4
    slices: int = 500  # of a series whose metadata is asked for
    viewers: int = 20
    viewed: int = 100  # slices each of them opens
    rendered: int = 16


QUICK = Size(
    ct_512k=40,
    ct_8k=100,
    stock_512k=10,
    stock_8k=20,
    studies=1000,
    frames=60,
    sent_512k=60,
    sent_8k=200,
    repeats=2,
    slices=50,
    viewers=4,
    viewed=10,
    rendered=4,
)


@dataclass
class Lab:
    """The running servers, and the data that several scenarios share."""

    folder: Path
    size: Size
    servers: frozenset[str]
    database_url: str = ""
    started: dict[str, Server] = field(default_factory=dict)

    def server(self, name: str, make: Callable[[Path], S]) -> S:
        server = make(self.folder / name)
        server.start()
        self.started[name] = server
        return server

    def stop(self) -> None:
        for server in reversed(self.started.values()):
            server.stop()

    @cached_property
    def sink(self) -> Server:
        return self.server("sink", lambda folder: Storescp(folder, keep=False))

    @cached_property
    def storescp(self) -> Server:
        return self.server("storescp", Storescp)

    @cached_property
    def archives(self) -> tuple[Archive, ...]:
        """Ours first, then Orthanc with Nagle's algorithm off."""
        destination = self.sink.port
        environment = {"DATABASE_URL": self.database_url} if self.database_url else {}
        makers: dict[str, Callable[[Path], Archive]] = {
            "pacs": lambda folder: Ours(folder, destination_port=destination, environment=environment),
            "orthanc": lambda folder: Orthanc(folder, destination_port=destination),
        }
        return tuple(self.server(name, make) for name, make in makers.items() if name in self.servers)

    @cached_property
    def stock_orthanc(self) -> Server:
        return self.server("stock-orthanc", lambda folder: Orthanc(folder, nagle=True))

    def storescu(self, server: Server, folders: Sequence[Path], *, nagle: bool = False) -> Elapsed:
        command = [debian("storescu"), "-q", "-aec", server.ae_title, "+sd", "127.0.0.1", str(server.port)]
        return run_together(
            [[*command, str(folder)] for folder in folders],
            environment={} if nagle else NAGLE_OFF,
            folder=self.folder / "clients",
        )

    @cached_property
    def study(self) -> data.ImageSet:
        """A study of 512 KB images that every archive holds, to be retrieved."""
        return self.loaded(data.one_study(data.ct_512k(), self.size.ct_512k, self.folder / "loaded"))

    @cached_property
    def many(self) -> data.ImageSet:
        """Many studies of one small image that every archive holds, to be queried."""
        return self.loaded(data.many_studies(data.tiny(), self.size.studies, self.folder / "loaded"))

    @cached_property
    def series(self) -> data.ImageSet:
        """A long series of 512 KB images that every archive holds."""
        return self.loaded(data.one_study(data.ct_512k(), self.size.slices, self.folder / "loaded"))

    @cached_property
    def multiframe(self) -> data.ImageSet:
        """One image of many frames that every archive holds."""
        return self.loaded(data.one_study(data.template(side=512, frames=FRAMES), 1, self.folder / "loaded"))

    @cached_property
    def viewed(self) -> list[data.ImageSet]:
        """A study for each viewer."""
        made_from, folder = data.ct_512k(), self.folder / "loaded"
        return [self.loaded(data.one_study(made_from, self.size.viewed, folder)) for _ in range(self.size.viewers)]

    def loaded(self, images: data.ImageSet) -> data.ImageSet:
        """Stored in every archive."""
        for server in self.archives:
            self.storescu(server, [images.folder])
        return images


@dataclass(frozen=True, slots=True)
class Contender:
    """One who does the work; `program` is the server whose use of the machine is reported, None for the clients'."""

    name: str
    work: Callable[[Sequence[data.ImageSet]], Elapsed]
    program: Program | None = None
    check: Callable[[Sequence[data.ImageSet]], None] = lambda sets: None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A row group of the table: `amount` units of work in each run, ratios to `baseline`."""

    name: str
    title: str
    unit: str
    amount: float
    baseline: str
    contenders: tuple[Contender, ...]
    prepare: Callable[[], Sequence[data.ImageSet]] = tuple
