import hashlib
import os
from pathlib import Path

import pytest

from ingest.content import LARGEST, Unfit, check_file, content_type, hash_file
from ingest.samples import make_library, make_video


def unfit(path: Path) -> tuple[str, str]:
    with pytest.raises(Unfit) as error:
        check_file(path)
    assert str(path) in str(error.value)
    return error.value.code, str(error.value)


def make_sound(path: Path) -> Path:
    """A second of silence in a container for videos."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        stream.layout = "mono"
        for number in range(10):
            frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate = 44100
            frame.pts = number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "libx264"),
        ("a.mkv", "libx264"),
        ("a.mp4", "libx265"),
        ("a.webm", "libvpx-vp9"),
    ],
)
def test_a_video_of_a_codec_that_the_vendor_names_is_fit(tmp_path, name, codec):
    path = make_video(tmp_path / name, codec)
    fitness = check_file(path)
    status = path.stat()
    assert (fitness.size, fitness.mtime_ns, fitness.warning) == (status.st_size, status.st_mtime_ns, None)


def test_another_codec_is_sent_with_a_warning_that_names_it(tmp_path):
    fitness = check_file(make_video(tmp_path / "a.avi", "mpeg4"))
    assert fitness.warning == "its codec is mpeg4; Memories.ai names h264, h265, hevc and vp9"


def test_a_codec_that_nobody_knows_is_sent_with_a_warning(tmp_path):
    path = make_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    assert check_file(path).warning == "its codec is unknown; Memories.ai names h264, h265, hevc and vp9"


def test_the_container_does_not_matter_only_what_is_in_it(tmp_path):
    path = make_video(tmp_path / "a.mkv").rename(tmp_path / "a.mp4")
    assert check_file(path).warning is None


def test_an_empty_file_is_unfit(tmp_path):
    (tmp_path / "a.mp4").touch()
    code, said = unfit(tmp_path / "a.mp4")
    assert code == "empty" and said.endswith("is empty")


def test_a_text_with_the_name_of_a_video_is_unfit(tmp_path):
    (tmp_path / "a.mp4").write_text("Not a video, whatever its name says.\n" * 50)
    code, said = unfit(tmp_path / "a.mp4")
    assert code == "not_a_video" and "is not a video or is cut off" in said


def test_a_video_that_is_cut_off_is_unfit(tmp_path):
    path = make_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, said = unfit(path)
    assert code == "not_a_video" and "is not a video or is cut off" in said


def test_a_file_with_sound_alone_is_unfit(tmp_path):
    code, said = unfit(make_sound(tmp_path / "a.mp4"))
    assert code == "no_video" and said.endswith("holds no video stream")


def test_a_file_that_is_gone_is_unfit(tmp_path):
    code, said = unfit(tmp_path / "a.mp4")
    assert code == "missing" and said.endswith("is not there any more")


def test_a_folder_is_unfit(tmp_path):
    (tmp_path / "a.mp4").mkdir()
    assert unfit(tmp_path / "a.mp4")[0] == "not_a_video"


def test_a_path_through_a_file_is_unfit(tmp_path):
    (tmp_path / "a.mp4").touch()
    assert unfit(tmp_path / "a.mp4" / "b.mp4")[0] == "unreadable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_unfit(tmp_path):
    make_video(tmp_path / "a.mp4").chmod(0)
    code, said = unfit(tmp_path / "a.mp4")
    assert code == "unreadable" and said.endswith("cannot be read: permission denied")


def test_a_file_larger_than_the_vendor_takes_is_unfit(tmp_path):
    with (tmp_path / "a.mp4").open("wb") as file:
        file.truncate(LARGEST + 1)
    code, said = unfit(tmp_path / "a.mp4")
    assert code == "too_large" and said.endswith("takes at most 3 GiB")


def test_a_file_as_large_as_the_vendor_takes_is_not_too_large(tmp_path):
    with (tmp_path / "a.mp4").open("wb") as file:
        file.truncate(LARGEST)
    assert unfit(tmp_path / "a.mp4")[0] == "not_a_video"


def test_a_playlist_does_not_make_us_fetch_what_it_names(tmp_path):
    (tmp_path / "a.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    assert unfit(tmp_path / "a.mp4")[0] == "not_a_video"


@pytest.mark.parametrize("name", ["süß 🎬.mp4", "100% [sure] #1?.mp4", "two\nlines.mp4", "http:.mp4"])
def test_a_name_may_hold_anything(tmp_path, name):
    assert check_file(make_video(tmp_path / "a.mp4").rename(tmp_path / name)).warning is None


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_a_hash_is_of_the_whole_file(tmp_path, size):
    (tmp_path / "a").write_bytes(b"v" * size)
    assert hash_file(tmp_path / "a") == hashlib.sha256(b"v" * size).hexdigest()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.mp4", "video/mp4"),
        ("a.MP4", "video/mp4"),
        ("a.mov", "video/quicktime"),
        ("a.mkv", "video/x-matroska"),
        ("a.webm", "video/webm"),
        ("a.avi", "video/x-msvideo"),
        ("a.unheard-of", "video/mp4"),
        ("a", "video/mp4"),
    ],
)
def test_every_file_travels_as_some_kind_of_video(name, kind):
    assert content_type(Path(name)) == kind


def test_the_sample_library_holds_what_a_real_disk_holds(tmp_path):
    found: dict[str, str] = {}
    for path in make_library(tmp_path / "library").iterdir():
        try:
            found[path.name] = "warned" if check_file(path).warning else "fit"
        except Unfit as error:
            found[path.name] = error.code
    assert found == {
        "beach.mp4": "fit",
        "city at night.mp4": "fit",
        "harbour.mp4": "fit",
        "meadow.webm": "fit",
        "old camera.avi": "warned",
        "copy of beach.mp4": "fit",
        "interrupted copy.mp4": "not_a_video",
        "notes.txt": "not_a_video",
    }
    library = tmp_path / "library"
    assert hash_file(library / "beach.mp4") == hash_file(library / "copy of beach.mp4")
    assert hash_file(library / "beach.mp4") != hash_file(library / "city at night.mp4")
