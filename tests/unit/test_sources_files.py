import contextlib
import os
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest

from ingest.sources.files import is_video_name, walk
from ingest.sources.found import Kind


def _touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _names(folder: Path) -> list[str]:
    return [os.path.relpath(found.source, folder) for found in walk(folder)]


@pytest.mark.parametrize("name", ["a.mp4", "A.MP4", "b.tar.mkv", "c.M2TS", "d.3gp", "dir.txt/e.vob"])
def test_a_name_with_a_video_ending_is_a_video(name):
    assert is_video_name(name)


@pytest.mark.parametrize("name", ["a.txt", "mp4", ".mp4", "a.mp4.part", "a", "a.mp4/b"])
def test_a_name_without_a_video_ending_is_none(name):
    assert not is_video_name(name)


def test_a_file_is_found_with_its_size_and_time(tmp_path):
    path = _touch(tmp_path / "beach.mp4", b"12345")
    (found,) = walk(tmp_path)
    assert (found.kind, found.source, found.size) == (Kind.FILE, str(path), 5)
    assert found.mtime_ns == path.stat().st_mtime_ns
    assert found.skip is None
    assert found.key is None


def test_every_file_is_found_and_what_is_no_video_by_its_name_is_skipped(tmp_path):
    _touch(tmp_path / "a.mp4")
    _touch(tmp_path / "notes.txt")
    assert {Path(f.source).name: bool(f.skip) for f in walk(tmp_path)} == {"a.mp4": False, "notes.txt": True}


def test_files_come_in_path_order(tmp_path):
    for name in ("b.mp4", "a/z.mp4", "a/b/c.mp4", "a.mp4", "a-b/c.mp4", "Z.mp4", "é.mp4", "c/1.mp4"):
        _touch(tmp_path / name)
    names = _names(tmp_path)
    assert len(names) == 8
    assert names == sorted(names)


def test_hidden_files_and_folders_are_left_out(tmp_path):
    _touch(tmp_path / ".hidden.mp4")
    _touch(tmp_path / ".cache" / "a.mp4")
    _touch(tmp_path / "b" / ".DS_Store")
    _touch(tmp_path / "b" / "c.mp4")
    assert _names(tmp_path) == ["b/c.mp4"]


def test_links_to_files_and_folders_are_followed(tmp_path):
    _touch(tmp_path / "elsewhere" / "a.mp4", b"123")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "linked.mp4").symlink_to(tmp_path / "elsewhere" / "a.mp4")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    assert [(Path(f.source).name, f.size) for f in walk(folder)] == [("linked.mp4", 3), ("a.mp4", 3)]


def test_a_loop_of_links_ends(tmp_path):
    _touch(tmp_path / "a" / "b" / "c.mp4")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "round").symlink_to("round")
    found = list(walk(tmp_path))
    assert [Path(f.source).name for f in found if not f.skip] == ["c.mp4"]


def test_a_folder_with_two_names_is_walked_once(tmp_path):
    _touch(tmp_path / "b" / "c.mp4")
    (tmp_path / "a").symlink_to("b")
    assert _names(tmp_path) == ["a/c.mp4"]


def test_a_link_that_leads_nowhere_is_told_not_hidden(tmp_path):
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nothing")
    [found] = walk(tmp_path)
    assert "leads nowhere" in (found.skip or "")


def test_pipes_and_sockets_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert _names(tmp_path) == []


def test_a_folder_that_vanishes_during_the_walk_is_told_and_the_rest_is_taken(tmp_path):
    _touch(tmp_path / "a.mp4")
    (tmp_path / "b").mkdir()
    _touch(tmp_path / "c.mp4")
    walking = walk(tmp_path)
    first = next(walking)
    (tmp_path / "b").rmdir()
    gone, last = walking
    assert (Path(first.source).name, Path(last.source).name) == ("a.mp4", "c.mp4")
    assert "could not be opened" in (gone.skip or "")


def test_a_file_that_vanishes_during_the_walk_is_still_an_item(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        _touch(tmp_path / name)
    walking = walk(tmp_path)
    next(walking)
    (tmp_path / "b.mp4").unlink()
    [found] = walking
    assert (found.size, found.skip) == (None, None)


def test_a_name_that_is_not_utf8_is_skipped_and_can_be_printed(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    [found] = walk(tmp_path)
    assert found.source.endswith(r"caf\xe9.mp4")
    assert "not valid UTF-8" in (found.skip or "")
    found.source.encode()


def test_names_with_new_lines_quotes_and_emoji_are_taken_as_they_are(tmp_path):
    name = "a\n'b\" \u2028 🎬 %20.mp4"
    _touch(tmp_path / name)
    assert _names(tmp_path) == [name]


def _nest(top: Path, name: str, depth: int) -> None:
    """Step by step, since the whole path may be longer than the system takes at once."""
    with contextlib.chdir(top):
        for _ in range(depth):
            Path(name).mkdir()
            os.chdir(name)
        Path("deep.mp4").touch()


def test_a_tree_deeper_than_pythons_recursion_limit_is_walked(tmp_path):
    depth = 1500
    _nest(tmp_path, "d", depth)
    [found] = walk(tmp_path)
    assert found.source == f"{tmp_path}{'/d' * depth}/deep.mp4"
    # pytest clears old folders with a recursion of its own, which this one would break.
    Path(found.source).unlink()
    for parent in islice(Path(found.source).parents, depth):
        parent.rmdir()


def test_a_path_longer_than_the_system_opens_is_told(tmp_path):
    _nest(tmp_path, "d" * 250, 20)
    [found] = walk(tmp_path)
    assert "could not be opened" in (found.skip or "")


def test_only_the_walked_folder_itself_may_raise(tmp_path):
    with pytest.raises(FileNotFoundError):
        next(walk(tmp_path / "missing"))


def test_a_walk_streams(tmp_path):
    for number in range(40):
        (tmp_path / f"{number:02}").mkdir()
        for inner in range(100):
            (tmp_path / f"{number:02}" / f"{inner:02}.mp4").touch()
    tracemalloc.start()
    try:
        assert sum(1 for _ in islice(walk(tmp_path), 200)) == 200
        small = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        assert sum(1 for _ in walk(tmp_path)) == 4000
        large = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert large < small + 50_000  # 4,000 items held would be 1.5 MB
