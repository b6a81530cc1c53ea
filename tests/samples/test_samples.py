"""What a sample is: short, and without the archive around the engine."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.samples.programs import SAMPLES

PROGRAMS = sorted(path for path in SAMPLES.glob("*.py") if path.name != "__init__.py")
ALLOWED = {"dicom", "pydicom", "samples", *sys.stdlib_module_names}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_sample_is_a_page_on_the_engine_alone(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60
    assert {name.partition(".")[0] for name in imports(path)} <= ALLOWED


def test_the_readme_has_a_line_for_each_sample() -> None:
    lines = (SAMPLES / "README.md").read_text().splitlines()
    for path in PROGRAMS:
        assert len([line for line in lines if f"`{path.stem}" in line]) == 1, path.name
