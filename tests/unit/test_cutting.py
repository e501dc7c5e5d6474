import hashlib
import itertools
import random
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.content import Unfit
from ingest.cutting import (
    SHORTEST_SECONDS,
    Span,
    _best_places,
    _Layout,
    cut,
    join,
    plan_parts,
)
from ingest.samples import make_video
from tests.unit.test_content import make_sound

WIDTH, HEIGHT = 64, 48
LONGEST_SECONDS, LARGEST_BYTES = 300.0, 20 * 1000**2


def make_clip(
    path: Path,
    seconds: float,
    *,
    codec: str = "libx264",
    rate: int = 2,
    gop: int = 20,
    sound: str | None = None,
    sound_seconds: float | None = None,
    begins: int = 0,
    options: dict[str, str] | None = None,
    noisy: bool = False,
) -> Path:
    """A video whose every picture is another, with a key frame each ``gop`` pictures, maybe with silence beside it."""
    import av

    # A key frame at each new scene would be one nearly everywhere here.
    steady = {
        "libx264": {"x264-params": "scenecut=0"},
        "libx265": {"x265-params": f"log-level=none:scenecut=0:keyint={gop}:min-keyint={gop}:open-gop=0"},
    }
    with av.open(str(path), "w") as container:
        video = cast(Any, container.add_stream(codec, rate=rate, options={**steady.get(codec, {}), **(options or {})}))
        video.width, video.height, video.pix_fmt, video.gop_size = WIDTH, HEIGHT, "yuv420p", gop
        video.time_base = Fraction(1, rate)
        voice: Any = None
        if sound:
            voice = container.add_stream(sound, rate=8000)
            voice.layout = "mono"
        said, noise = 0, random.Random(5)
        for number in range(round(seconds * rate)):
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            for index, plane in enumerate(frame.planes):
                even = bytes([(number * (7, 3, 5)[index]) % 256]) * plane.buffer_size
                plane.update(noise.randbytes(plane.buffer_size) if noisy else even)
            frame.pts = number + begins * rate
            container.mux(video.encode(frame))
            while voice is not None and said < (number + 1) / rate * 8000 and said < (sound_seconds or seconds) * 8000:
                said = _say(container, voice, said, begins)
        container.mux(video.encode(None))
        while voice is not None and sound_seconds and said < sound_seconds * 8000:
            said = _say(container, voice, said, begins)
        if voice is not None:
            container.mux(voice.encode(None))
    return path


def _say(container: Any, voice: Any, said: int, begins: int) -> int:
    import av

    frame = av.AudioFrame(format=voice.format.name, layout="mono", samples=1024)
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    frame.sample_rate, frame.pts = 8000, said + begins * 8000
    container.mux(voice.encode(frame))
    return said + 1024


def pictures_of(path: Path) -> list[str]:
    """What is seen, picture by picture; that there is nothing to see before the first one would raise."""
    import av

    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert frames and frames[0].key_frame and not any(frame.is_corrupt for frame in frames)
    return [hashlib.sha256(b"".join(map(visible, frame.planes))).hexdigest() for frame in frames]


def visible(plane: Any) -> bytes:
    """Without the padding at the end of each row, which holds anything."""
    whole = bytes(plane)
    return b"".join(whole[row * plane.line_size :][: plane.width] for row in range(plane.height))


def length_of(path: Path) -> float:
    import av

    with av.open(str(path)) as container:
        assert container.start_time is not None and abs(container.start_time) < 200_000, "times begin at zero"
        assert container.duration is not None
        return container.duration / 1e6


def samples_of(path: Path) -> int:
    import av

    with av.open(str(path)) as container:
        return sum(frame.samples for frame in container.decode(audio=0))


def cut_all(path: Path, spans: list[Span], suffix: str) -> list[Path]:
    parts = [path.with_name(f"part {number}{suffix}") for number in range(len(spans))]
    for span, part in zip(spans, parts, strict=True):
        cut(path, span, part)
    return parts


def follow_each_other(spans: list[Span], whole: float) -> bool:
    ends = [0.0, *(span.end for span in spans)]
    return [span.start for span in spans] == ends[:-1] and ends[-1] == pytest.approx(whole, abs=0.1)


def unfit(call: Any) -> tuple[str, str]:
    with pytest.raises(Unfit) as error:
        call()
    return error.value.code, str(error.value)


# Whole videos


def test_twelve_minutes_become_three_equal_parts_that_hold_everything_once(tmp_path):
    path = make_clip(tmp_path / "long.mp4", 720, sound="aac")
    spans = plan_parts(path, LONGEST_SECONDS, LARGEST_BYTES)
    assert len(spans) == 3 and follow_each_other(spans, 720)
    assert all(230 <= span.seconds <= 250 for span in spans)
    parts = cut_all(path, spans, ".mp4")
    seen = [pictures_of(part) for part in parts]
    assert list(itertools.chain(*seen)) == pictures_of(path)
    assert [length_of(part) for part in parts] == pytest.approx([span.seconds for span in spans], abs=0.3)
    assert sum(map(length_of, parts)) == pytest.approx(720, abs=0.5)
    assert sum(map(samples_of, parts)) == pytest.approx(samples_of(path), abs=3 * 2048)
    assert all(part.stat().st_size <= LARGEST_BYTES for part in parts)


@pytest.mark.parametrize(
    ("name", "codec", "sound", "suffix"),
    [
        ("a.mp4", "libx264", "aac", ".mp4"),
        ("a.mp4", "libx265", "aac", ".mp4"),
        ("a.mov", "libx264", "aac", ".mp4"),
        ("a.mov", "libx264", "pcm_s16le", ".mov"),
        ("a.mkv", "libx264", "aac", ".mp4"),
        ("a.mkv", "libx264", "aac", ".mkv"),
        ("a.webm", "libvpx-vp9", None, ".webm"),
        ("a.webm", "libvpx-vp9", None, ".mp4"),
        ("a.avi", "mpeg4", None, ".avi"),
        ("a.avi", "mpeg4", None, ".mp4"),
        ("a.ts", "libx264", "aac", ".mp4"),
    ],
)
def test_every_container_is_cut_without_loss(tmp_path, name, codec, sound, suffix):
    path = make_clip(tmp_path / name, 100, codec=codec, rate=5, gop=25, sound=sound)
    spans = plan_parts(path, 40, LARGEST_BYTES)
    assert len(spans) == 3 and follow_each_other(spans, 100)
    assert all(SHORTEST_SECONDS <= span.seconds <= 40 for span in spans)
    parts = cut_all(path, spans, suffix)
    assert list(itertools.chain(*map(pictures_of, parts))) == pictures_of(path)
    assert [length_of(part) for part in parts] == pytest.approx([span.seconds for span in spans], abs=0.4)


def test_a_video_that_begins_late_is_counted_from_its_first_picture(tmp_path):
    path = make_clip(tmp_path / "a.mkv", 100, sound="aac", begins=1000)
    spans = plan_parts(path, 40, LARGEST_BYTES)
    assert len(spans) == 3 and follow_each_other(spans, 100)
    parts = cut_all(path, spans, ".mp4")
    assert list(itertools.chain(*map(pictures_of, parts))) == pictures_of(path)
    assert sum(map(length_of, parts)) == pytest.approx(100, abs=0.5)


def test_pictures_that_need_the_key_frame_after_them_are_not_lost(tmp_path):
    options = {"x265-params": "log-level=none:open-gop=1:bframes=3:b-adapt=0:keyint=24:min-keyint=24:scenecut=0"}
    path = make_clip(tmp_path / "a.mp4", 100, codec="libx265", rate=5, gop=24, options=options)
    assert leading_pictures(path) > 0, "the groups of pictures are open"
    spans = plan_parts(path, 40, LARGEST_BYTES)
    parts = [pictures_of(part) for part in cut_all(path, spans, ".mp4")]
    whole = pictures_of(path)
    assert len(parts) == 3 and sum(map(len, parts)) == len(whole) + 2
    for part, following in itertools.pairwise(parts):
        assert part[-1] == following[0], "only the key frame is in both"
    assert [*parts[0], *parts[1][1:], *parts[2][1:]] == whole


def leading_pictures(path: Path) -> int:
    import av

    count, key = 0, 0
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.pts is not None and packet.is_keyframe:
                key = packet.pts
            elif packet.pts is not None and packet.pts < key:
                count += 1
    return count


def test_sound_that_outlasts_the_pictures_is_in_the_last_part(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 60, sound="aac", sound_seconds=75)
    spans = plan_parts(path, 40, LARGEST_BYTES)
    assert len(spans) == 2 and follow_each_other(spans, 75)
    parts = cut_all(path, spans, ".mp4")
    assert sum(map(samples_of, parts)) == pytest.approx(samples_of(path), abs=4096)


def test_sound_that_ends_early_does_not_matter(tmp_path):
    path = make_clip(tmp_path / "a.mkv", 100, sound="aac", sound_seconds=30)
    parts = cut_all(path, plan_parts(path, 40, LARGEST_BYTES), ".mkv")
    assert list(itertools.chain(*map(pictures_of, parts))) == pictures_of(path)


def test_a_video_of_a_phone_held_upright_stays_upright(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 60)
    whole = path.read_bytes()
    level = b"".join(number.to_bytes(4, "big") for number in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    upright = b"".join(
        number.to_bytes(4, "big", signed=True) for number in (0, 1 << 16, 0, -1 << 16, 0, 0, HEIGHT << 16, 0, 1 << 30)
    )
    at = whole.index(level, whole.index(b"tkhd"))
    path.write_bytes(whole[:at] + upright + whole[at + len(upright) :])
    assert rotation_of(path) != 0
    for part in cut_all(path, plan_parts(path, 40, LARGEST_BYTES), ".mp4"):
        assert rotation_of(part) == rotation_of(path)


def rotation_of(path: Path) -> int:
    import av

    with av.open(str(path)) as container:
        return next(container.decode(video=0)).rotation


# Plans


def test_a_video_within_the_limits_is_one_part(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 60)
    assert plan_parts(path, 60, path.stat().st_size) == [Span(0.0, 60.0)]


def test_a_video_a_little_too_long_has_no_short_rest(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 310, rate=1, gop=5)
    assert [span.seconds for span in plan_parts(path, 300, LARGEST_BYTES)] == [155, 155]


def test_a_video_a_little_too_large_is_cut_by_its_bytes(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 200, gop=4, noisy=True)
    largest = path.stat().st_size // 3
    spans = plan_parts(path, 300, largest)
    assert len(spans) == 4 and follow_each_other(spans, 200)
    assert all(part.stat().st_size <= largest for part in cut_all(path, spans, ".mp4"))


def test_a_video_that_is_too_short_is_unfit(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 19)
    code, said = unfit(lambda: plan_parts(path, 300, LARGEST_BYTES))
    assert code == "too_short" and said == f"{path} lasts 19.0 s; a caption needs at least 20 s"
    assert plan_parts(path, 300, LARGEST_BYTES, shortest_seconds=19) == [Span(0.0, 19.0)]


def test_a_video_without_key_frames_in_between_is_unfit(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 90, gop=1000)
    code, said = unfit(lambda: plan_parts(path, 60, LARGEST_BYTES))
    assert code == "cannot_be_cut" and said.endswith("it has no key frame for 90 s")


def test_a_video_with_too_much_in_each_second_is_unfit(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 60, noisy=True)
    code, said = unfit(lambda: plan_parts(path, 300, path.stat().st_size // 4))
    assert code == "cannot_be_cut" and "its key frames are up to 10.0 s apart" in said


@pytest.mark.parametrize(
    "call", [lambda path: plan_parts(path, 300, 1), lambda path: cut(path, Span(0, 1), path.with_name("part.mp4"))]
)
def test_what_is_no_video_cannot_be_cut(tmp_path, call):
    assert unfit(lambda: call(tmp_path / "gone.mp4"))[0] == "missing"
    (tmp_path / "a.mp4").write_text("Not a video.\n" * 50)
    assert unfit(lambda: call(tmp_path / "a.mp4"))[0] == "not_a_video"
    assert unfit(lambda: call(make_sound(tmp_path / "b.mp4")))[0] == "no_video"


_TIMES = st.lists(st.floats(0.5, 60), min_size=1, max_size=9)


@settings(deadline=None)
@given(_TIMES, st.lists(st.integers(1, 500_000), min_size=10, max_size=10), st.floats(5, 40), st.floats(1, 4))
def test_no_other_way_has_fewer_parts_or_more_equal_ones(gaps, sizes, shortest, factor):
    longest, largest = shortest * factor, 1_000_000
    layout = _Layout(
        [0.0, *itertools.accumulate(gaps)], [0, *itertools.accumulate(sizes[: len(gaps)])], sizes[: len(gaps) + 1]
    )
    layout.close()
    last = len(gaps)

    def rank(way: tuple[int, ...]) -> tuple[int, float] | None:
        places = [0, *way, last]
        lengths = [layout.times[after] - layout.times[before] for before, after in itertools.pairwise(places)]
        loads = [layout.bytes_between(before, after) for before, after in itertools.pairwise(places)]
        if all(shortest <= length <= longest for length in lengths) and max(loads) <= largest:
            return len(lengths), sum(length**2 for length in lengths)
        return None

    inner = range(1, last)
    ways = itertools.chain(*(itertools.combinations(inner, count) for count in range(last)))
    best = min(filter(None, map(rank, ways)), default=None)
    found = _best_places(layout, shortest, longest, largest)
    assert (found is None) == (best is None)
    if found is not None and best is not None:
        assert found[0] == 0 and found[-1] == last
        ranked = rank(tuple(found[1:-1]))
        assert ranked is not None and ranked[0] == best[0] and ranked[1] == pytest.approx(best[1])


def test_ten_hours_are_planned_in_a_moment():
    times = [float(second) for second in range(0, 36_002, 2)]
    layout = _Layout(times, [round(time * 50_000) for time in times], [0] * len(times))
    layout.close()
    places = _best_places(layout, 20, 300, LARGEST_BYTES)
    assert places is not None and len(places) - 1 == 120


# Cutting


@pytest.mark.parametrize(
    ("name", "codec", "sound", "suffix"),
    [
        ("a.mkv", "libvpx", None, ".mp4"),
        ("a.mp4", "libx264", None, ".webm"),
        ("a.mkv", "libx264", "pcm_s16le", ".webm"),
    ],
)
def test_a_container_that_cannot_hold_a_codec_is_unfit_and_leaves_nothing(tmp_path, name, codec, sound, suffix):
    path = make_clip(tmp_path / name, 30, codec=codec, sound=sound)
    target = tmp_path / f"part{suffix}"
    code, said = unfit(lambda: cut(path, Span(0.0, 30.0), target))
    assert code == "cannot_be_cut" and f"cannot be cut into {suffix}" in said
    assert not target.exists()


@pytest.mark.parametrize("start", [3.7, 11.0, 500.0])
def test_a_part_begins_at_a_key_frame_or_not_at_all(tmp_path, start):
    path = make_clip(tmp_path / "a.mp4", 60)
    code, said = unfit(lambda: cut(path, Span(start, 60.0), tmp_path / "part.mp4"))
    assert code == "cannot_be_cut" and said.endswith(f"has no key frame at {start:.3f} s")
    assert not (tmp_path / "part.mp4").exists()


def test_a_container_that_nobody_knows_is_unfit(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 30)
    assert unfit(lambda: cut(path, Span(0.0, 30.0), tmp_path / "part.doc"))[0] == "cannot_be_cut"


def test_a_folder_that_is_gone_is_no_fault_of_the_video(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 30)
    with pytest.raises(FileNotFoundError):
        cut(path, Span(0.0, 30.0), tmp_path / "gone" / "part.mp4")


def test_the_sample_videos_can_be_cut(tmp_path):
    path = make_video(tmp_path / "a.mp4", seconds=60)
    spans = plan_parts(path, 40, LARGEST_BYTES)
    assert len(spans) == 2
    assert sum(len(pictures_of(part)) for part in cut_all(path, spans, ".mp4")) == 60 * 12


# Joining


def test_texts_are_joined_by_time_under_their_times():
    texts = [(Span(300.0, 600.0), " It leaves. \n"), (Span(0.0, 300.0), "A van stops.")]
    assert join(texts) == "[00:00-05:00]\nA van stops.\n\n[05:00-10:00]\nIt leaves."


def test_times_of_more_than_an_hour_have_hours_everywhere():
    texts = [(Span(0.0, 295.4), "a"), (Span(295.4, 3600.0), "b")]
    assert join(texts) == "[00:00:00-00:04:55]\na\n\n[00:04:55-01:00:00]\nb"


def test_nothing_joined_is_nothing():
    assert join([]) == ""
