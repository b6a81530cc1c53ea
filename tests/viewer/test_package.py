"""What becomes of the package npm brings."""

import base64
import gzip
import hashlib
import io
import re
import stat
import sys
import tarfile
from pathlib import Path

import pytest

from apps.viewer.package import DIRECTORY, NoViewer, fetch, installed, main
from tests.viewer.installed import viewers

PAGE = """<!doctype html><head><script>window.PUBLIC_URL="/"</script><link rel="manifest" href="/manifest.json">
<script rel="preload" src="/app-config.js"></script><script type="module" src="/init-service-worker.js"></script>
<meta content="/assets/x.png"><a href="//elsewhere.example/">x</a>
<script>go("</s>")</script></head>"""
FILES = {
    "package/LICENSE": "MIT",
    "package/package.json": "{}",
    "package/dist/index.html": PAGE,
    "package/dist/app.bundle.js": "__webpack_require__.p = \"/\"; browserImportFunction('/other/x.js');" + "x" * 2000,
    "package/dist/app.bundle.css": "a { src: url(/font.woff2) } b { src: url(data:x) }",
    "package/dist/manifest.json": '{"src": "/assets/a.png"}',
    "package/dist/app.bundle.js.map": "{}",
    "package/dist/ort/big.wasm": "x",
    "package/dist/sw.js": "importScripts('https://elsewhere.example/')",
    "package/dist/../../outside.js": "x",
    "package/dist//etc/outside.js": "x",
}


def npm(folder: Path, monkeypatch: pytest.MonkeyPatch, packed: bytes | None, status: int = 0) -> str:
    """A program of that name which brings `packed`; the integrity of it."""
    folder.mkdir()
    (folder / "packed").write_bytes(packed or b"")
    copy = "" if packed is None else f"shutil.copy({str(folder / 'packed')!r}, 'ohif-app.tgz');"
    program = folder / "npm"
    program.write_text(
        f"#!{sys.executable}\nimport shutil, sys\n{copy}\n"
        f"sys.stderr.write('npm error no network')\nsys.exit({status})\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    return "sha512-" + base64.b64encode(hashlib.sha512(packed or b"").digest()).decode()


def packed(files: dict[str, str]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("package/dist/link.js")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return whole.getvalue()


def test_it_lives_below_our_address_and_brings_nothing_it_does_not_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    integrity = npm(tmp_path / "bin", monkeypatch, packed(FILES))
    made = fetch(tmp_path / "viewers", integrity)
    assert made == installed(tmp_path / "viewers")
    assert sorted(path.name for path in made.rglob("*")) == [
        "LICENSE",
        "app.bundle.css",
        "app.bundle.js",
        "app.bundle.js.gz",
        "index.html",
        "inline-1.js",
        "inline-2.js",
        "manifest.json",
    ]
    page = (made / "index.html").read_text()
    assert re.findall(r"<script>|service-worker", page) == []
    assert (made / "inline-1.js").read_text() == 'window.PUBLIC_URL="/viewer/"'
    assert '<meta content="/viewer/assets/x.png"><a href="//elsewhere.example/">' in page
    assert 'src="/viewer/app-config.js"' in page
    script = (made / "app.bundle.js").read_bytes()
    assert script.startswith(b"__webpack_require__.p = \"/viewer/\"; browserImportFunction('/viewer/other/x.js');")
    assert gzip.decompress((made / "app.bundle.js.gz").read_bytes()) == script
    assert (made / "app.bundle.css").read_text() == "a { src: url(/viewer/font.woff2) } b { src: url(data:x) }"
    assert (made / "manifest.json").read_text() == '{"src": "/viewer/assets/a.png"}'
    assert not list(tmp_path.glob("**/outside.js"))


def test_what_is_there_is_not_fetched_again_and_what_is_older_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    integrity = npm(tmp_path / "bin", monkeypatch, packed(FILES))
    older = tmp_path / "viewers" / "ohif-1.0.0-1"
    older.mkdir(parents=True)
    made = fetch(tmp_path / "viewers", integrity)
    assert not older.exists()
    monkeypatch.setenv("PATH", "/nowhere")
    assert fetch(tmp_path / "viewers", integrity) == made


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (None, 1, "npm error no network"),
        (packed(FILES) + b"x", 0, "is not the @ohif/app"),
        (packed({"package/LICENSE": "MIT"}), 0, "no index.html"),
    ],
)
def test_what_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, status: int, reason: str
) -> None:
    integrity = npm(tmp_path / "bin", monkeypatch, content, status)
    with pytest.raises(NoViewer, match=reason):
        fetch(tmp_path / "viewers", integrity if reason.startswith("no") else "sha512-AAAA")
    assert list((tmp_path / "viewers").iterdir()) == []
    assert installed(tmp_path / "viewers") is None


def test_without_npm_it_says_how_to_add_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main([str(tmp_path / "viewers")]) == 1
    said = capsys.readouterr().err
    assert "apt-get install npm" in said
    assert "script/viewer adds it later" in said
    assert installed(tmp_path / "viewers") is None


def test_of_the_viewer_itself_nothing_points_to_the_root_of_the_server() -> None:
    made = viewers() / DIRECTORY
    assert len(list(made.rglob("*"))) > 200
    page = (made / "index.html").read_text()
    assert re.findall(r"<script>", page) == []
    assert re.findall(r'(?:href|src|content)="/(?!viewer/)[^"]*"', page) == []
    for path in made.rglob("*.js"):
        text = path.read_bytes()
        assert re.findall(rb'_\.p ?= ?"/"|PUBLIC_URL ?= ?"/"|Function\([\'"]/(?!viewer/)', text) == [], path
    for path in made.rglob("*.css"):
        assert re.findall(rb"url\([\"']?(?:/(?!viewer/)|https?:)", path.read_bytes()) == [], path
    assert not list(made.rglob("*.map"))
    assert not (made / "ort").exists()
    assert sum(path.stat().st_size for path in made.rglob("*") if path.suffix != ".gz") < 65_000_000
