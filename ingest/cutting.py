"""Long videos in parts that a caption takes (seed: 20 to 300 seconds, 20 MB each), cut at key frames without re-encoding.

>>> join([(Span(0.0, 295.5), "A van stops."), (Span(295.5, 600.0), "It leaves.")])
'[00:00-04:56]\\nA van stops.\\n\\n[04:56-10:00]\\nIt leaves.'
"""

import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from ingest.content import Unfit

#: The seed's shortest video of a caption (contract B.7 D1); a key may have others (contract F.6).
SHORTEST_SECONDS = 20.0

#: What a container adds: its tables for each packet, and its head.
_PER_PACKET, _PER_FILE = 32, 16_384
#: Key frames closer than this (seconds) are one place to cut: a camera that writes nothing else would offer a million of them.
_FINEST = 2.0
#: Sound and pictures of one moment lie at most so far apart in a file, seconds.
_PATIENCE = 5.0
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds since the first key frame; ``end`` is the start of the next part."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def plan_parts(
    path: Path, longest_seconds: float, largest_bytes: int, shortest_seconds: float = SHORTEST_SECONDS
) -> list[Span]:
    """The fewest parts within the limits, as equal as the key frames permit.

    One part, of a file that has no more than ``largest_bytes``, means: send the file as it is. One part of a larger file must
    be cut out of it: what else the file holds is left out. The file is read once and nothing is decoded. Unfit when it is too
    short, or its key frames are too far apart.
    """
    with _open(path) as container:
        size, layout = container.size, _read_layout(path, container)
    if layout.end < shortest_seconds:
        raise Unfit("too_short", f"{path} lasts {layout.end:.1f} s; a caption needs at least {shortest_seconds:g} s")
    if layout.end <= longest_seconds and size <= largest_bytes:
        return [Span(0.0, layout.end)]
    places = _best_places(layout, shortest_seconds, longest_seconds, largest_bytes)
    if places is None:
        raise Unfit("cannot_be_cut", _why_not(path, layout, shortest_seconds, longest_seconds, largest_bytes))
    times = [layout.times[place] for place in places]
    return [Span(start, end) for start, end in pairwise(times)]


def cut(path: Path, span: Span, target: Path) -> None:
    """Write one part of a plan, its times from zero, video and sound as they are. The suffix of ``target`` chooses its container.

    Unfit when there is no key frame where the span starts, or the container cannot hold a codec; an OSError is of the target.
    Either way no target is left behind.
    """
    if target.suffix.lower() not in _CONTAINERS:
        raise Unfit("cannot_be_cut", f"no container is known for {target.name}; {', '.join(_CONTAINERS)} are")
    try:
        try:
            _copy(path, span, target, seek=True)
        except _Missed:
            # Seeking is exact nearly everywhere; where it landed too late, the file is read from its beginning.
            _copy(path, span, target, seek=False)
    except _Missed:
        target.unlink(missing_ok=True)
        raise Unfit("cannot_be_cut", f"{path} has no key frame at {span.start:.3f} s") from None
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def join(texts: Sequence[tuple[Span, str]]) -> str:
    """The texts of the parts in their order, each under its time: ``[05:00-10:00]``, with hours where there are any."""
    ordered = sorted(texts, key=lambda one: one[0].start)
    hours = any(round(span.end) >= 3600 for span, _ in ordered)
    return "\n\n".join(
        f"[{_clock(span.start, hours)}-{_clock(span.end, hours)}]\n{text.strip()}" for span, text in ordered
    )


def _clock(seconds: float, hours: bool) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


@dataclass(slots=True)
class _Layout:
    """Where a video may be cut, and how much lies between these places."""

    #: Seconds since the first key frame, of each place; the end of the video is the last one.
    times: list[float] = field(default_factory=list)
    #: Bytes of pictures before each place.
    before: list[int] = field(default_factory=list)
    #: Bytes that the part before each place may take from behind it: see :func:`_of_part`.
    beyond: list[int] = field(default_factory=list)
    #: Bytes of sound in each second.
    sound: Counter[int] = field(default_factory=Counter)
    _seconds: list[int] = field(default_factory=list)
    _sums: list[int] = field(default_factory=list)

    @property
    def end(self) -> float:
        return self.times[-1]

    def close(self) -> None:
        self._seconds = sorted(self.sound)
        self._sums = [0, *accumulate(self.sound[second] for second in self._seconds)]

    def bytes_between(self, first: int, last: int) -> int:
        """At most so many bytes does the part between two places have; sound counts by whole seconds."""
        low = bisect.bisect_left(self._seconds, int(self.times[first]))
        high = bisect.bisect_right(self._seconds, int(self.times[last]))
        pictures = self.before[last] - self.before[first] + self.beyond[last]
        return pictures + self._sums[high] - self._sums[low] + _PER_FILE


def _open(path: Path) -> Any:
    import av  # 0.1 s and 30 MB: only where videos are cut

    try:
        return av.open(str(path))
    except FileNotFoundError:
        raise Unfit("missing", f"{path} is not there any more") from None
    except PermissionError:
        raise Unfit("unreadable", f"{path} cannot be read: permission denied") from None
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception) -> Unfit:
    said = getattr(error, "strerror", None) or str(error)
    return Unfit("not_a_video", f"{path} is not a video or is cut off: {said}")


def _streams(path: Path, container: Any) -> list[Any]:
    """The video, then all sound. A cover picture is no video, and a codec that FFmpeg has never heard of cannot be copied."""
    from av.stream import Disposition

    videos = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    if not videos or videos[0].codec_context is None:
        raise Unfit("no_video", f"{path} holds no video stream that can be read")
    return [videos[0], *(one for one in container.streams.audio if one.codec_context is not None)]


def _packets(path: Path, container: Any, streams: list[Any]) -> Iterator[Any]:
    import av

    try:
        for packet in container.demux(streams):
            if packet.size:  # the last one of each stream is empty
                yield packet
    except av.error.FFmpegError as error:
        raise _broken(path, error) from None


def _read_layout(path: Path, container: Any) -> _Layout:
    layout, streams = _Layout(), _streams(path, container)
    video = streams[0]
    units = {one.index: float(one.time_base) for one in streams}
    origin: float | None = None
    pictures, end = 0, 0.0
    frame = float(1 / video.average_rate) if video.average_rate else 0.0
    for packet in _packets(path, container, streams):
        if packet.pts is None:
            if packet.stream is video:
                raise Unfit("cannot_be_cut", f"{path} does not say when its pictures are shown")
            continue
        unit = units[packet.stream.index]
        if packet.stream is video and packet.is_keyframe and origin is None:
            origin = packet.pts * unit
        if origin is None:
            continue  # before the first key frame nothing can be shown
        at = packet.pts * unit - origin
        lasts = packet.duration * unit if packet.duration else frame if packet.stream is video else 0.0
        end = max(end, at + lasts)
        if packet.stream is not video:
            layout.sound[max(0, int(at))] += packet.size + _PER_PACKET
            continue
        if packet.is_keyframe and (not layout.times or at >= layout.times[-1] + _FINEST):
            layout.times.append(at)
            layout.before.append(pictures)
            layout.beyond.append(packet.size + _PER_PACKET)
        elif at < layout.times[-1]:
            layout.beyond[-1] += packet.size + _PER_PACKET
        pictures += packet.size + _PER_PACKET
    if origin is None:
        raise Unfit("cannot_be_cut", f"{path} has no key frame")
    layout.times.append(end)
    layout.before.append(pictures)
    layout.beyond.append(0)
    layout.close()
    return layout


def _best_places(layout: _Layout, shortest: float, longest: float, largest: int) -> list[int] | None:
    """From the end backwards: the way from each place with the fewest parts, and of those the one with the least squares of
    their lengths, which are the most equal. None when no way leads from the first place.
    """
    times, last = layout.times, len(layout.times) - 1
    ways: list[tuple[int, float, int] | None] = [None] * last + [(0, 0.0, last)]
    for first in range(last - 1, -1, -1):
        nearest = bisect.bisect_left(times, times[first] + shortest)
        for place in range(max(nearest, first + 1), last + 1):
            seconds = times[place] - times[first]
            if seconds > longest or layout.bytes_between(first, place) > largest:
                break
            onward = ways[place]
            if onward is None:
                continue
            way = (onward[0] + 1, onward[1] + seconds**2, place)
            best = ways[first]
            if best is None or way < best:
                ways[first] = way
    if ways[0] is None:
        return None
    places = [0]
    while places[-1] != last:
        way_on = ways[places[-1]]
        assert way_on is not None
        places.append(way_on[2])
    return places


def _why_not(path: Path, layout: _Layout, shortest: float, longest: float, largest: int) -> str:
    limits = f"parts of {shortest:g} to {longest:g} s and at most {largest / 1e6:g} MB"
    gap = max(after - before for before, after in pairwise(layout.times))
    if gap > longest:
        return f"{path} cannot be cut into {limits}: it has no key frame for {gap:.0f} s"
    rate = layout.before[-1] * 8 / max(layout.end, 1.0) / 1e6
    return f"{path} cannot be cut into {limits}: its key frames are up to {gap:.1f} s apart, at {rate:.1f} Mbit/s"


class _Missed(Exception):
    """The key frame was not met."""


def _copy(path: Path, span: Span, target: Path, *, seek: bool) -> None:
    with _open(path) as container:
        origin = _origin(path, container)
    with _open(path) as container:
        streams = _streams(path, container)
        base = streams[0].time_base
        start, end = origin + round(span.start / base), origin + round(span.end / base)
        if seek:
            _seek(container, streams[0], max(origin, start - round(1 / base)))
        _write(path, target, streams, start, _of_part(_packets(path, container, streams), streams, start, end))


def _seek(container: Any, video: Any, before: int) -> None:
    """To a key frame before the one that is wanted: the sound of a moment may lie before its picture."""
    import av

    try:
        container.seek(before, stream=video, backward=True)
    except av.error.FFmpegError:
        raise _Missed from None


def _origin(path: Path, container: Any) -> int:
    """When the first key frame is shown, in the video's own unit: spans count from there."""
    streams = _streams(path, container)
    for packet in _packets(path, container, streams[:1]):
        if packet.is_keyframe and packet.pts is not None:
            return packet.pts
    raise _Missed


def _of_part(packets: Iterator[Any], streams: list[Any], start: int, end: int) -> Iterator[Any]:
    """The packets shown from ``start`` on and before ``end``, both in the video's unit."""
    video = streams[0]
    base = video.time_base
    begun = False
    waiting = set(range(len(streams)))
    next_key: Any = None
    for packet in packets:
        if packet.pts is None:
            continue
        at = packet.pts * packet.time_base / base
        if packet.stream is not video:
            if at >= end:
                waiting.discard(streams.index(packet.stream))
            elif at >= start:
                yield packet
        elif not begun:
            begun = packet.is_keyframe and packet.pts == start
            if begun:
                yield packet
            elif packet.is_keyframe and at > start:
                raise _Missed
        elif at >= end:
            if at == end and packet.is_keyframe:
                next_key = packet
            else:
                waiting.discard(0)
        elif at >= start:
            # Pictures shown before a key frame may follow it in the file and need it (an open group of pictures): then it
            # belongs to both parts. In the part that it begins they cannot be shown, so they are left out there.
            if next_key is not None:
                yield next_key
                next_key = None
            yield packet
        # A stream that ended early never says that it is past the end.
        if not waiting or at > end + _PATIENCE / base:
            break
    if not begun:
        raise _Missed


def _write(path: Path, target: Path, streams: list[Any], start: int, packets: Iterator[Any]) -> None:
    import av

    begin = start * streams[0].time_base
    with target.open("w+b") as file:  # FFmpeg writes through it, so what fails there is an OSError and not a verdict
        try:
            with av.open(file, "w", format=_CONTAINERS[target.suffix.lower()]) as part:
                copies = {one.index: part.add_stream_from_template(one) for one in streams}
                for packet in packets:
                    shift = round(begin / packet.time_base)
                    packet.pts -= shift
                    if packet.dts is not None:
                        packet.dts -= shift
                    packet.stream = copies[packet.stream.index]
                    part.mux(packet)
        except (av.error.FFmpegError, ValueError) as error:
            codecs = ", ".join(one.codec_context.name for one in streams)
            said = getattr(error, "strerror", None) or str(error)
            raise Unfit("cannot_be_cut", f"{path} ({codecs}) cannot be cut into {target.suffix}: {said}") from None
