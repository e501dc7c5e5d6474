"""What a file holds: its hash, and whether it can be sent as it is."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ingest import store
from ingest.database import Database
from ingest.queries import SameSize
from ingest.settings import Bounds

_CHUNK = 1 << 20

#: Codecs the vendor names (contract A.8); others are sent with a warning.
_CODECS = frozenset({"h264", "hevc", "h265", "vp9"})

#: The vendor takes at most so many bytes (contract B.2 U1).
LARGEST = 3 * 1024**3

_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".avi": "video/x-msvideo",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}


class Unfit(Exception):
    """The file cannot be sent as it is; ``code`` and one sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Fitness:
    size: int
    mtime_ns: int
    warning: str | None = None


def hash_file(path: Path) -> str:
    """sha256 in 1 MiB pieces: memory stays flat, and the interpreter lock is free meanwhile."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def content_type(path: Path) -> str:
    return _TYPES.get(path.suffix.lower(), "video/mp4")


def check_file(path: Path) -> Fitness:
    """Open the file as a video without decoding it. Unfit when sending it would be in vain."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise Unfit("missing", f"{path} is not there any more") from None
    except OSError as error:
        raise Unfit("unreadable", f"{path} cannot be read: {error.strerror}") from None
    if status.st_size == 0:
        raise Unfit("empty", f"{path} is empty")
    if status.st_size > LARGEST:
        raise Unfit("too_large", f"{path} has {status.st_size / 1024**3:.1f} GiB; Memories.ai takes at most 3 GiB")
    return Fitness(status.st_size, status.st_mtime_ns, _probe(path))


def check_length(path: Path, bounds: Bounds) -> None:
    """Whether a video may be captioned as it is (contract B.7 D1). Unfit says what it has too much or too little of."""
    import av

    check_file(path)
    size = path.stat().st_size
    if size > bounds.largest:
        raise Unfit(
            "too_large",
            f"{path} has {size / 1e6:.1f} MB; a caption takes at most {bounds.largest / 1e6:g} MB. --split cuts it into parts",
        )
    with av.open(str(path)) as container:
        seconds = (container.duration or 0) / 1_000_000
    if seconds and not bounds.shortest <= seconds <= bounds.longest:
        hint = ". --split cuts it into parts" if seconds > bounds.longest else ""
        raise Unfit(
            "wrong_length",
            f"{path} lasts {seconds:.0f} s; a caption takes {bounds.shortest:g} to {bounds.longest:g} s{hint}",
        )


def _probe(path: Path) -> str | None:
    """A warning about a codec outside the vendor's list; Unfit when it is no video at all."""
    import av  # 0.1 s and 30 MB: only where files are sent

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise Unfit("no_video", f"{path} holds no video stream")
            context = container.streams.video[0].codec_context  # None for a codec that FFmpeg has never heard of
            codec = context.codec.canonical_name if context else "unknown"
    except PermissionError:
        raise Unfit("unreadable", f"{path} cannot be read: permission denied") from None
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise Unfit("not_a_video", f"{path} is not a video or is cut off: {said}") from None
    if codec not in _CODECS:
        return f"its codec is {codec}; Memories.ai names h264, h265, hevc and vp9"
    return None


def learn_of(database: Database, other: SameSize) -> None:
    """Hash a file we know by size alone, if it is still the file it was."""
    if other.sha256 is not None:
        return
    path = Path(other.source)
    try:
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) != (other.size, other.mtime_ns):
            return
        sha256 = hash_file(path)
    except OSError:
        return  # its own turn will say so
    with database.write() as session:
        store.learn_content(session, other.id, sha256, other.size, other.mtime_ns)
