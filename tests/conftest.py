"""Fixtures shared by all shelves. unit needs nothing; integration a process or server of its own; acceptance the whole service."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.samples import make_video


@pytest.fixture
def home() -> Iterator[Path]:
    """A state folder with a short path: the broker's socket must fit into 107 bytes."""
    root = Path(tempfile.mkdtemp(prefix="ing-"))
    yield root / "var"
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty different real videos of a few kilobytes."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(60):
        make_video(folder / f"clip {number:02}.mp4", seconds=0.4, seed=number)
    return folder
