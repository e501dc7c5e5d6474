"""Whose video is it? Pure: which videos of a namespace may be what a lost answer would have named.

A *candidate* is a video that no row of ours owns and that was made between the send and now. It is adopted when its name carries
the submission's short id; for a link, when its name contains the link's last path piece and no other unsettled link would match;
or when it is the only candidate of the only unsettled submission. Another submission's short id in its name, or a known different
size, exclude it.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from ingest.clock import minted_ms
from ingest.upstream.fields import Video, decoded_names

#: Our clock and the vendor's may differ so much, ms. The vendor mints the time, we wrote down the send.
CLOCK_SLACK_MS = 60_000


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A submission that may have arrived."""

    submission_id: int
    short_id: str
    #: Earliest moment its bytes may have left, and the latest at which they may have become a video, ms.
    since_ms: int
    until_ms: int
    size: int | None = None
    #: For a link: the last path piece without extension. None for a file.
    name_hint: str | None = None


@dataclass(frozen=True, slots=True)
class Adopt:
    video_no: str
    #: Further videos that carry the short id: the same item a second time, shown and never deleted by us.
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Could be one of these; stays unsure."""

    video_nos: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing there that could be it."""


Finding = Adopt | Ambiguous | Absent


def settle(
    unsettled: Sequence[Unsettled],
    videos: Sequence[Video],
    owned: Collection[str],
    other_short_ids: Collection[str],
    under_way: Sequence[Unsettled] = (),
    strangers: bool = False,
) -> dict[int, Finding]:
    """What a complete sweep of a namespace says about each unsettled submission of it.

    ``owned``: videos that rows of ours have; ``other_short_ids``: of submissions that are not unsettled, as names may carry them;
    ``under_way``: submissions being sent now, whose video may be in the list before its answer is in our rows;
    ``strangers``: posts of this namespace are on their way, whose videos stand in the list without a name that tells them apart,
    so that being the only candidate proves nothing.
    """
    free = [video for video in videos if video.video_no not in owned]
    all_open = [*unsettled, *under_way]
    known = {one.short_id for one in all_open} | set(other_short_ids)
    carried: dict[str, list[Video]] = defaultdict(list)
    left: list[Video] = []
    for video in free:
        short_id = _carried(video, known)
        (left if short_id is None else carried[short_id]).append(video)
    lone = len(all_open) == 1 and not strangers
    return {one.submission_id: _find(one, carried[one.short_id], all_open, left, lone) for one in unsettled}


def _find(
    one: Unsettled, carried: Sequence[Video], all_open: Sequence[Unsettled], left: Sequence[Video], lone: bool
) -> Finding:
    if carried:
        first, *rest = sorted(carried, key=lambda video: (created_ms(video) or 0, video.video_no))
        return Adopt(first.video_no, tuple(video.video_no for video in rest))
    possible = [video for video in left if _could_be(one, video)]
    if not possible:
        return Absent()
    if one.name_hint:
        named = [video for video in possible if _hints(video, one.name_hint)]
        rivals = [
            rival
            for rival in all_open
            if rival is not one and rival.name_hint and any(_hints(video, rival.name_hint) for video in named)
        ]
        if len(named) == 1 and not rivals:
            return Adopt(named[0].video_no)
    if len(possible) == 1 and lone:
        return Adopt(possible[0].video_no)
    return Ambiguous(tuple(video.video_no for video in possible))


def created_ms(video: Video) -> int | None:
    """When the vendor made it: as it says, else as its id says."""
    return video.created_ms or minted_ms(video.video_no)


def _could_be(one: Unsettled, video: Video) -> bool:
    created = created_ms(video)
    if created is not None and not one.since_ms - CLOCK_SLACK_MS <= created <= one.until_ms + CLOCK_SLACK_MS:
        return False
    return not (one.size and video.size and one.size != video.size)  # sizes come late: an unknown one does not exclude


def _carried(video: Video, known: Collection[str]) -> str | None:
    """The short id in a name: the last one, as a file that was downloaded and imported again still has its old one in front."""
    here = [one for one in short_ids_in([video]) if one in known]
    return max(here, key=lambda one: max(name.rfind(one) for name in decoded_names(video.name)), default=None)


def _hints(video: Video, hint: str) -> bool:
    return any(hint.lower() in name for name in decoded_names(video.name))


_RUN = re.compile(r"[a-z2-7]{10,}")


def short_ids_in(videos: Iterable[Video]) -> set[str]:
    """Everything in the names of these videos that could be a short id of ours."""
    runs = (run for video in videos for name in decoded_names(video.name) for run in _RUN.findall(name))
    return {run[start : start + 10] for run in runs for start in range(len(run) - 9)}


_MARK = re.compile(r" ?\[[a-z2-7]{10}\]$")


def known_as(name: str, size: int) -> str:
    """The identity of a file that an account held before us: its name, without extension and our mark, and its size."""
    stem, dot, extension = name.rpartition(".")
    plain = stem if dot and stem and 1 < len(extension) <= 5 else name
    return f"name:{_MARK.sub('', unquote(plain).lower())}:{size}"


_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\\"\ud800-\udfff]")
_LONGEST_STEM = 120


def sent_name(original: str, short_id: str | None) -> str:
    """``beach.mp4`` travels as ``beach [k3fbx2m7qa].mp4``, the way yt-dlp names files."""
    stem, dot, extension = original.rpartition(".")
    if not dot or not stem:
        stem, extension = original, ""
    stem = _UNSAFE.sub("_", stem)[:_LONGEST_STEM]
    mark = f" [{short_id}]" if short_id else ""
    return f"{stem}{mark}{'.' + _UNSAFE.sub('_', extension) if extension else ''}"
