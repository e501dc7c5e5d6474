"""What ``resolve`` makes of the sources a user typed: one ``Found`` per item to be."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    FILE = "file"  # a file on this machine
    LINK = "link"  # a direct link, fetched by Memories.ai
    POST = "post"  # one post of a platform
    CREATOR = "creator"  # a profile or hashtag whose posts become items
    IMAGE = "image"
    CAPTION = "caption"


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


class SourceError(Exception):
    """The sources cannot be taken: one sentence for each reason in ``problems``. Nothing was yielded."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))
