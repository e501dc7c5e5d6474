"""What becomes of a file: PyAV opens it and decodes its first frame (contract A.8, E.4 70; pictures: E.2 36)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import av

from sandbox.spool import Spool

#: First bytes of the pictures that are taken, and FFmpeg's name of their codec: JPEG, PNG, WebP.
PICTURES: Mapping[bytes, str] = {b"\xff\xd8\xff": "mjpeg", b"\x89PNG\r\n\x1a\n": "png", b"RIFF": "webp"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a video once its parsing is over; `cause` is None when it will be ready."""

    cause: str | None
    size: int  # bytes
    duration: int = 0  # whole seconds
    width: int | None = None
    height: int | None = None
    fps: int | None = None
    seconds: float = 0.0  # as exact as the file tells


def probe(spool: Spool, codecs: Collection[str]) -> Verdict:
    """Looks at the file once, reading little of it. Never raises for what is wrong with the file."""
    spool.seek(0)
    try:
        with av.open(spool, mode="r") as container:
            return _look(container, spool.size, codecs)
    except (av.error.FFmpegError, ValueError, EOFError, OSError) as error:
        return Verdict(_unopened(error), spool.size)


def picture(spool: Spool) -> str | None:
    """Why a picture will not do; None when it is a whole JPEG, PNG or WebP."""
    spool.seek(0)
    start = spool.read(16)
    codec = next((codec for magic, codec in PICTURES.items() if start.startswith(magic)), None)
    if codec is None:
        return "no JPEG, PNG or WebP"
    spool.seek(0)
    try:
        with av.open(spool, mode="r") as container:
            if not container.streams.video or container.streams.video[0].codec_context.name != codec:
                return "no JPEG, PNG or WebP"
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"err_detect": "explode"}  # half a picture is no picture
            frame = next(container.decode(stream), None)
    except (av.error.FFmpegError, ValueError, EOFError, OSError) as error:
        return _unopened(error)
    return "the file cannot be opened: it holds no decodable frame" if frame is None else None


def _unopened(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"the file cannot be opened: {reason}"


def _look(container: av.container.InputContainer, size: int, codecs: Collection[str]) -> Verdict:
    if not container.streams.video:
        return Verdict("no video stream", size)
    stream = container.streams.video[0]
    codec = stream.codec_context.name
    if codec not in codecs:
        return Verdict(f"unsupported codec {codec}; supported are {', '.join(codecs)}", size)
    stream.codec_context.thread_count = 1
    frame = next(container.decode(stream), None)
    if frame is None:
        return Verdict("the file cannot be opened: it holds no decodable frame", size)
    if container.duration is not None:
        seconds = container.duration / av.time_base
    elif stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = 0.0
    fps = round(stream.average_rate) if stream.average_rate else None
    return Verdict(None, size, max(1, round(seconds)), frame.width, frame.height, fps, seconds)
