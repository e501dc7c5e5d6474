"""What ``resolve`` makes of the sources a user typed: one ``Found`` per item to be."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    FILE = "file"  # a file on this machine
    LINK = "link"  # a direct link, fetched by Memories.ai
    POST = "post"  # one post of a platform
    CREATOR = "creator"  # a profile or hashtag whose posts become items
    IMAGE = "image"
    CAPTION = "caption"


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may say about an item. None, or no tags, where nothing was said.

    Made by ``ingest.sources.options.read_options``, which checks: nothing here is checked again. The ``options`` of
    a ``Found`` hold what its kind can use and nothing else: ``quality`` counts for posts of YouTube alone and is
    dropped in silence elsewhere; the vendor takes tags, time, camera and place for files and links alone.
    """

    unique_id: str | None = None
    #: ``private`` or ``public``
    library: str | None = None
    #: The most lines a YouTube video is fetched with.
    quality: int | None = None
    tags: tuple[str, ...] = ()
    #: ``YYYY-MM-DD HH:MM:SS``, as the vendor wants it
    datetime_taken: str | None = None
    camera_model: str | None = None
    #: Both or neither.
    latitude: float | None = None
    longitude: float | None = None
    title: str | None = None
    #: Pictures found in folders are taken too, and where a picture was taken may be told.
    images: bool = False
    location: bool = False

    def merged(self, over: "Options") -> "Options":
        """These, where ``over`` says nothing: ``command_line.merged(row)``. Tags are replaced, not joined."""
        if over == NO_OPTIONS:
            return self
        place = self if over.latitude is None else over
        return Options(
            unique_id=self.unique_id if over.unique_id is None else over.unique_id,
            library=self.library if over.library is None else over.library,
            quality=self.quality if over.quality is None else over.quality,
            tags=over.tags or self.tags,
            datetime_taken=self.datetime_taken if over.datetime_taken is None else over.datetime_taken,
            camera_model=self.camera_model if over.camera_model is None else over.camera_model,
            latitude=place.latitude,
            longitude=place.longitude,
            title=self.title if over.title is None else over.title,
            images=self.images or over.images,
            location=self.location or over.location,
        )


NO_OPTIONS = Options()


@dataclass(frozen=True, slots=True)
class Found:
    """One item to be, before anything is written or sent."""

    kind: Kind
    #: The absolute path, or the link exactly as given.
    source: str
    #: Two sources of one key are the same video: ``link:<normalised url>``, ``post:<platform>:<id>``.
    #: None for files: their content decides, later.
    key: str | None = None
    #: ``tiktok``, ``youtube`` or ``instagram``
    platform: str | None = None
    post_id: str | None = None
    #: Bytes. None for links, and for a file that vanished while its folder was walked.
    size: int | None = None
    mtime_ns: int | None = None
    #: Why it is not sent, on purpose. A sentence.
    skip: str | None = None
    #: Where it was named, when that was a manifest: ``list.txt line 3``.
    origin: str | None = None
    options: Options = NO_OPTIONS
    #: Captions alone: what is asked (``ingest.captions.Asked`` as JSON), and the lane in whose line it waits.
    wish: dict[str, Any] | None = None
    lane: str | None = None
    #: Seconds from and to, of a part of a longer video; the whole has its parts here.
    span: tuple[float, float] | None = None
    parts: tuple["Found", ...] = ()
    #: Pictures: the mark of those that may travel in one call.
    together: str | None = None


class SourceError(Exception):
    """The sources cannot be taken: one sentence for each reason in ``problems``. Nothing was yielded."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))
