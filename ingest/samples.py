"""Small real videos, made on the spot with PyAV: for the demo, and for trying an installation."""

import hashlib
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

_RATE = 12
_WIDTH, _HEIGHT = 128, 72


def make_video(path: Path, codec: str = "libx264", *, seconds: float = 1.0, seed: int = 0) -> Path:
    """A moving picture of some kilobytes; another ``seed`` makes another content. The container follows the file's suffix."""
    import av

    with av.open(str(path), "w") as container:
        # x265 talks to the terminal past every log setting but its own.
        quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        stream = cast(Any, container.add_stream(codec, rate=_RATE, options=quiet))
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, _RATE)
        for frame in _frames(max(1, round(seconds * _RATE)), seed):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _frames(count: int, seed: int) -> Iterator[Any]:
    import av

    colours = hashlib.sha256(str(seed).encode()).digest()
    for number in range(count):
        frame = av.VideoFrame(_WIDTH, _HEIGHT, "yuv420p")
        for index, plane in enumerate(frame.planes):
            width = plane.line_size
            shift = number * 3 if index == 0 else 0
            row = bytes((colours[index] + column + shift) % 256 for column in range(width))
            plane.update(b"".join(row[offset:] + row[:offset] for offset in range(plane.height)))
        frame.pts = number
        yield frame


def make_library(folder: Path) -> Path:
    """What a real disk holds: good videos of three codecs, one the vendor does not take, a broken one, a copy, and a text."""
    folder.mkdir(parents=True, exist_ok=True)
    make_video(folder / "beach.mp4", "libx264", seed=1)
    make_video(folder / "city at night.mp4", "libx264", seed=2)
    make_video(folder / "harbour.mp4", "libx265", seed=3)
    make_video(folder / "meadow.webm", "libvpx-vp9", seed=4)
    make_video(folder / "old camera.avi", "mpeg4", seed=5)
    shutil.copyfile(folder / "beach.mp4", folder / "copy of beach.mp4")
    whole = (folder / "harbour.mp4").read_bytes()
    (folder / "interrupted copy.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("Not a video, and it need not be one.\n")
    return folder
