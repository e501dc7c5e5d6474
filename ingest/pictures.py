"""What a picture holds: whether it can be sent as it is, and what it tells of itself. Nothing is written, little is decoded."""

import struct
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from ingest.content import Unfit

#: The vendor takes at most so many bytes of one picture (contract B.2 U9; the seed only says that there is a limit).
LARGEST_PICTURE = 20 * 1024**2
#: A camera's name may have so many characters (contract B.2 U1).
_LONGEST_MODEL = 200
#: Beyond this a JPEG is not decoded to see whether it is whole; an eighth of its size would still be some hundred megabytes.
_DECODED_PIXELS = 250_000_000

#: Other pictures by their first bytes, only to name what was found.
_OTHERS = ((b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"\xff\x0a", "JPEG XL"))
_FILE_TYPES = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"avif": "AVIF", b"avis": "AVIF"}

#: Exif tags (Exif 2.32): where the camera writes its name, when it was released, and where it stood.
_MODEL, _EXIF, _GPS = 0x0110, 0x8769, 0x8825
_TAKEN, _DIGITISED = 0x9003, 0x9004
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE = 1, 2, 3, 4

#: What Pillow raises at broken bytes: its decoders have no kind of their own.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError),
    *(OverflowError, ZeroDivisionError, MemoryError, struct.error),
)


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """``format`` is ``JPEG``, ``PNG`` or ``WEBP``, by content. What the picture does not tell is None."""

    size: int
    mtime_ns: int
    width: int
    height: int
    format: str
    #: ``YYYY-MM-DD HH:MM:SS`` by the camera's clock, whose zone is unknown (as the vendor's, contract F.2).
    datetime_taken: str | None = None
    camera_model: str | None = None
    #: Degrees, north and east positive; both or neither.
    latitude: float | None = None
    longitude: float | None = None

    @property
    def content_type(self) -> str:
        return f"image/{self.format.lower()}"


def check_picture(path: Path, *, with_location: bool = False, largest: int = LARGEST_PICTURE) -> PictureFacts:
    """Look at a picture. Unfit when sending it would be in vain. Where it was taken is read only when that is asked for."""
    try:
        status = path.stat()
        if status.st_size == 0:
            raise Unfit("empty", f"{path} is empty")
        if status.st_size > largest:
            size, limit = status.st_size / 1024**2, largest / 1024**2
            raise Unfit("too_large", f"{path} has {size:.1f} MiB; Memories.ai takes pictures of at most {limit:g} MiB")
        with path.open("rb") as file:
            kind = _kind(path, file)
            width, height, exif = _look(path, file, kind, status.st_size)
    except FileNotFoundError:
        raise Unfit("missing", f"{path} is not there any more") from None
    except OSError as error:
        raise Unfit("unreadable", f"{path} cannot be read: {error.strerror or error}") from None
    return PictureFacts(status.st_size, status.st_mtime_ns, width, height, kind, **_told(exif, with_location))


def _kind(path: Path, file: BinaryIO) -> str:
    head = file.read(16)
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    other = _FILE_TYPES.get(head[8:12]) if head[4:8] == b"ftyp" else None
    other = other or next((name for start, name in _OTHERS if head.startswith(start)), None)
    if other:
        raise Unfit("wrong_format", f"{path} is a {other} picture; Memories.ai takes JPEG, PNG and WebP")
    raise Unfit("not_a_picture", f"{path} is not a picture")


def _look(path: Path, file: BinaryIO, kind: str, size: int) -> tuple[int, int, bytes | None]:
    """Width, height and raw Exif of a picture that is whole."""
    # 30 ms and 10 MB: only where pictures are sent. The plugins themselves, because Image.open() would refuse or warn of the
    # 108 and 200 megapixels of today's phones, and would try twenty other formats.
    from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    opener: Any = {
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
    }[kind]
    try:
        file.seek(0)
        image = opener(file)
        width, height = image.size
        exif = image.info.get("exif")
        if kind == "PNG":
            image.verify()  # the checksums of all chunks, to the last
        elif kind == "JPEG" and width * height <= _DECODED_PIXELS:
            image.draft("L", (width // 8, height // 8))
            image.load()
        elif kind == "WEBP":
            file.seek(4)
            if int.from_bytes(file.read(4), "little") + 8 > size:
                raise EOFError("it ends before its time")
    except Image.DecompressionBombError as error:  # a WebP alone asks for all its memory when it is opened
        raise Unfit("too_many_pixels", f"{path} has more pixels than can be looked at: {error}") from None
    except _BROKEN as error:
        raise Unfit("not_a_picture", f"{path} is a broken {kind} picture or is cut off: {error}") from None
    return width, height, exif if isinstance(exif, bytes) else None


def _told(raw: bytes | None, with_location: bool) -> dict[str, Any]:
    """What the Exif data tell; all of it is optional, and broken Exif is none."""
    from PIL import Image

    told: dict[str, Any] = {}
    if not raw:
        return told
    try:
        exif = Image.Exif()
        exif.load(raw)
        inner = exif.get_ifd(_EXIF)
        told["camera_model"] = (_text(exif.get(_MODEL)) or "")[:_LONGEST_MODEL].strip() or None
        told["datetime_taken"] = _time(inner.get(_TAKEN)) or _time(inner.get(_DIGITISED))
        if with_location:
            told["latitude"], told["longitude"] = _place(exif.get_ifd(_GPS))
    except _BROKEN:
        pass
    return told


def _text(value: object) -> str | None:
    """Cameras pad with NUL and blanks, and some write bytes that are no text."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        return None
    return text.partition("\0")[0].encode("utf-8", "replace").decode().strip() or None


def _time(value: object) -> str | None:
    """``2025:10:09 08:30:00`` as the vendor writes it; None for a clock that was never set."""
    try:
        return datetime.strptime((_text(value) or "")[:19], "%Y:%m:%d %H:%M:%S").strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None


def _place(gps: Any) -> tuple[float | None, float | None]:
    """Latitude and longitude. Exactly 0 and 0 is what is written without a fix, and no place where pictures are taken."""
    latitude = _degrees(gps.get(_LATITUDE), gps.get(_LATITUDE_REF), "NS", 90)
    longitude = _degrees(gps.get(_LONGITUDE), gps.get(_LONGITUDE_REF), "EW", 180)
    if latitude is None or longitude is None or (latitude, longitude) == (0, 0):
        return None, None
    return latitude, longitude


def _degrees(value: Any, ref: object, names: str, limit: int) -> float | None:
    """Degrees, minutes and seconds as one number of six places (a decimetre); None for what is no place on earth."""
    side = (_text(ref) or "").upper()[:1]
    if not side or side not in names or not isinstance(value, tuple) or len(value) != 3:
        return None
    degrees = sum(float(part) / unit for part, unit in zip(value, (1, 60, 3600), strict=True))
    if not 0 <= degrees <= limit:  # a division by zero is nan, and fails here
        return None
    return round(-degrees if side == names[1] else degrees, 6)
