"""The vendor's rate table: calls that share a limit form a lane (seed; contract B.1).

>>> parse_limits("upload=20/s,scrape=1/2min")["scrape"].interval
120.0
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Lane(StrEnum):
    UPLOAD = "upload"  # upload, upload_url
    SCRAPE = "scrape"  # every scraper call
    IMAGE = "image"  # upload_img
    LIST = "list"  # list_videos
    DELETE = "delete"  # delete_videos
    TASK_STATUS = "task_status"  # get_video_ids_by_task_id
    DETAIL = "detail"  # metadata and details of one video
    DOWNLOAD = "download"
    TRANSCRIPTION = "transcription"
    AUDIO_TRANSCRIPTION = "audio_transcription"
    SUMMARY = "summary"
    SEARCH = "search"
    CHAT = "chat"
    MARKETER = "marketer"
    SESSIONS = "sessions"
    CAPTION_VIDEO = "caption_video"
    CAPTION_IMAGE = "caption_image"
    HUMAN_REID = "human_reid"


@dataclass(frozen=True, slots=True)
class Limit:
    """``calls`` per ``window`` seconds."""

    calls: int
    window: float

    @property
    def interval(self) -> float:
        """Seconds between two calls. Evenly spaced calls satisfy a fixed and a sliding window alike."""
        return self.window / self.calls

    def __str__(self) -> str:
        for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
            if self.window % size == 0:
                count = round(self.window / size)
                return f"{self.calls}/{'' if count == 1 else count}{name}"
        return f"{self.calls}/{self.window:g}s"


_SECOND, _MINUTE = 1.0, 60.0

#: Where the seed gives no figure: one call a second.
UNDOCUMENTED = Limit(1, _SECOND)

DEFAULT_LIMITS: Mapping[Lane, Limit] = MappingProxyType(
    {
        Lane.UPLOAD: Limit(1, _SECOND),
        Lane.SCRAPE: Limit(1, _MINUTE),
        Lane.IMAGE: UNDOCUMENTED,
        Lane.LIST: Limit(5, _SECOND),
        Lane.DELETE: Limit(5, _SECOND),
        Lane.TASK_STATUS: UNDOCUMENTED,
        Lane.DETAIL: UNDOCUMENTED,
        Lane.DOWNLOAD: Limit(12, _MINUTE),
        Lane.TRANSCRIPTION: Limit(5, _SECOND),
        Lane.AUDIO_TRANSCRIPTION: Limit(5, _SECOND),
        Lane.SUMMARY: Limit(5, _SECOND),
        Lane.SEARCH: Limit(10, _SECOND),
        Lane.CHAT: Limit(1, _SECOND),
        Lane.MARKETER: Limit(1, _SECOND),
        Lane.SESSIONS: Limit(5, _SECOND),
        Lane.CAPTION_VIDEO: Limit(1, _SECOND),
        Lane.CAPTION_IMAGE: Limit(5, _SECOND),
        Lane.HUMAN_REID: Limit(1, _SECOND),
    }
)

#: Lanes whose calls change something upstream and therefore carry items.
SENDING_LANES = (
    Lane.UPLOAD,
    Lane.SCRAPE,
    Lane.IMAGE,
    Lane.CAPTION_VIDEO,
    Lane.CAPTION_IMAGE,
    Lane.HUMAN_REID,
)

#: A call with persons waits in the line of ``human_reid`` and counts against that of captions as well: all or none.
ALSO: Mapping[Lane, tuple[Lane, ...]] = MappingProxyType({Lane.HUMAN_REID: (Lane.CAPTION_VIDEO,)})

#: Lanes of the second host count against the caption key, which is an account of its own.
CAPTION_LANES = frozenset({Lane.CAPTION_VIDEO, Lane.CAPTION_IMAGE, Lane.HUMAN_REID})

_SHAPE = re.compile(r"(\d+)\s*/\s*(\d*)\s*(s|min|h|d)")
_UNIT_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def parse_limits(text: str) -> dict[Lane, Limit | None]:
    """Overrides ``LANE=N/[K]unit`` or ``LANE=off``, comma separated; None means no limit. ValueError is a sentence."""
    overrides: dict[Lane, Limit | None] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, rate = (piece.strip() for piece in part.partition("="))
        if name not in [*Lane]:
            raise ValueError(f"'{name}' is no lane; the lanes are {', '.join(Lane)}")
        overrides[Lane(name)] = _parse_rate(part, rate if equals else "")
    return overrides


def _parse_rate(part: str, rate: str) -> Limit | None:
    if rate == "off":
        return None
    match = _SHAPE.fullmatch(rate)
    if match is None or int(match[1]) == 0 or match[2] == "0":
        raise ValueError(
            f"'{part}' is no limit; write LANE=N/[K]unit, for example upload=1/s or scrape=1/2min, or LANE=off"
        )
    return Limit(int(match[1]), int(match[2] or 1) * _UNIT_SECONDS[match[3]])


def limits_in_force(overrides: Mapping[Lane, Limit | None]) -> dict[Lane, Limit | None]:
    return {**DEFAULT_LIMITS, **overrides}
