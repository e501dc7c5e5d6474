import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.sources.found import Kind, Options, SourceError
from ingest.sources.resolve import examine, resolve

_POST = "https://youtu.be/BaW_jenozKc"
_HOSTS = [
    "www.tiktok.com/@",
    "www.youtube.com/",
    "youtu.be/",
    "www.instagram.com/p/",
    "example.com/",
    "vimeo.com/",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "videos" / "inner").mkdir(parents=True)
    for name in ("a.mp4", "b.mov", "inner/c.mkv", "inner/notes.txt"):
        (tmp_path / "videos" / name).write_bytes(b"x" * 10)
    return tmp_path


def _problems(*sources: str, **options) -> list[str]:
    with pytest.raises(SourceError) as caught:
        resolve(sources, **options)
    return caught.value.problems


def _only_problem(*sources: str, **options) -> str:
    [problem] = _problems(*sources, **options)
    assert problem.endswith((".", "`"))
    return problem


def test_a_file_is_one_item_with_its_absolute_path(folder):
    [found] = resolve(["videos/a.mp4"], cwd=folder)
    assert (found.kind, found.source, found.size, found.skip) == (
        Kind.FILE,
        f"{folder}/videos/a.mp4",
        10,
        None,
    )


def test_a_relative_path_starts_at_the_working_folder(folder, monkeypatch):
    monkeypatch.chdir(folder / "videos")
    [found] = resolve(["../videos/./a.mp4"])
    assert found.source == f"{folder}/videos/a.mp4"


def test_a_folder_is_every_file_in_it(folder):
    assert [Path(f.source).name for f in resolve(["videos"], cwd=folder)] == [
        "a.mp4",
        "b.mov",
        "c.mkv",
        "notes.txt",
    ]


def test_a_folder_without_a_video_is_all_skipped_and_no_error(folder):
    (folder / "other").mkdir()
    (folder / "other" / "a.txt").touch()
    [found] = resolve(["other"], cwd=folder)
    assert "Not a video by its name" in (found.skip or "")


def test_a_file_that_is_no_video_by_its_name_is_found_and_skipped(folder):
    (folder / "cat.gif").touch()
    [found] = resolve(["cat.gif"], cwd=folder)
    assert found.skip


def test_a_picture_is_taken_when_it_is_named_or_pictures_are_asked_for(folder):
    (folder / "other").mkdir()
    (folder / "other" / "cat.JPG").touch()
    [met] = resolve(["other"], cwd=folder)
    [named] = resolve(["other/cat.JPG"], cwd=folder)
    [asked_for] = resolve(["other"], cwd=folder, options=Options(images=True))
    assert (met.kind, named.kind, asked_for.kind) == (Kind.IMAGE,) * 3
    assert "--images" in (met.skip or "")
    assert (named.skip, asked_for.skip) == (None, None)


def test_a_hidden_file_that_is_named_is_taken(folder):
    (folder / ".secret.mp4").touch()
    [found] = resolve([".secret.mp4"], cwd=folder)
    assert found.skip is None


def test_a_post_keeps_its_address_and_gets_the_key_of_its_post():
    url = "https://M.youtube.com/watch?v=BaW_jenozKc&list=PLBB231211A4F62143"
    [found] = resolve([url])
    assert (found.kind, found.source, found.key) == (Kind.POST, url, "post:youtube:BaW_jenozKc")
    assert (found.platform, found.post_id) == ("youtube", "BaW_jenozKc")


def test_a_link_keeps_its_address_and_gets_a_normalised_key():
    [found] = resolve(["HTTPS://CDN.example.com:443/a/../Beach.mp4#t=3"])
    assert found.kind is Kind.LINK
    assert found.source == "HTTPS://CDN.example.com:443/a/../Beach.mp4#t=3"
    assert found.key == "link:https://cdn.example.com/Beach.mp4"


def test_a_direct_link_on_the_host_of_another_platform_is_a_link():
    [found] = resolve(["https://vimeo.com/files/beach.mp4"])
    assert found.kind is Kind.LINK


def test_items_come_in_the_order_of_their_sources(folder):
    kinds = [f.kind for f in resolve([_POST, "videos", "https://example.com/a.mp4"], cwd=folder)]
    assert kinds == [Kind.POST, *[Kind.FILE] * 4, Kind.LINK]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("missing.mp4", "does not exist"),
        ("missing/", "does not exist"),
        ("videos/a.mp4/b", "does not exist"),
        ("www.youtube.com/watch?v=BaW_jenozKc", "https:// in front"),
        ("", "empty source"),
        ("  ", "empty source"),
        ("a\0b.mp4", "is no path"),
        ("x" * 300 + ".mp4", "cannot be opened: File name too long"),
        ("/dev/null", "neither a file nor a folder"),
        ("ftp://example.com/a.mp4", "unknown scheme ftp://"),
        ("s3://bucket/a.mp4", "not supported yet"),
        ("file:///a.mp4", "plain path"),
        ("https://", "names no host"),
        ("https://example.com/a b.mp4", "white space"),
        (" https://example.com/a.mp4", "white space"),
        ("https://example.com:99999/a.mp4", "well-formed"),
        ("https://www.tiktok.com/@some.one", "ingest creators add"),
        ("https://www.youtube.com/@handle", "is a profile of YouTube"),
        ("https://www.instagram.com/nasa/", "is a profile of Instagram"),
        ("https://www.tiktok.com/tag/cats", "is a hashtag of TikTok"),
        ("https://www.youtube.com/playlist?list=PLBB231211A4F62143", "is a playlist of YouTube"),
        ("https://vm.tiktok.com/ZMabc/", "full address"),
        ("https://www.tiktok.com/t/ZTabc/", "cannot be resolved offline"),
        ("https://vimeo.com/76979871", "TikTok, YouTube and Instagram only"),
        ("https://www.facebook.com/watch?v=10153231379946729", "direct link to the file"),
    ],
)
def test_a_source_that_cannot_be_taken_gets_one_sentence_that_names_it(folder, source, words):
    problem = _only_problem(source, cwd=folder)
    assert words in problem
    assert not source.strip() or source.strip() in problem


def test_a_password_is_refused_whatever_the_scheme_and_never_repeated():
    for url in ("https://anna:s3cret@example.com/a.mp4", "ftp://anna:s3cret@example.com/a.mp4"):
        assert "s3cret" not in _only_problem(url)


def test_an_empty_folder_is_a_problem(folder):
    (folder / "empty" / "inner").mkdir(parents=True)
    (folder / "empty" / ".hidden.mp4").touch()
    assert "holds no files" in _only_problem("empty", cwd=folder)


def test_a_folder_closed_to_us_is_a_problem(folder):
    closed = folder / "closed"
    closed.mkdir(mode=0o000)
    if os.access(closed, os.R_OK):
        pytest.skip("this user may read everything")
    assert "cannot be read" in _only_problem("closed", cwd=folder)


def test_a_link_that_leads_nowhere_is_a_problem(folder):
    (folder / "gone.mp4").symlink_to("nothing")
    assert "leads nowhere" in _only_problem("gone.mp4", cwd=folder)


def test_all_problems_are_told_at_once_and_nothing_is_yielded(folder):
    with pytest.raises(SourceError) as caught:
        resolve(["videos", "missing.mp4", _POST, "ftp://x/y"], cwd=folder)
    assert len(caught.value.problems) == 2
    assert str(caught.value) == "\n".join(caught.value.problems)


def test_the_good_sources_can_be_taken_beside_the_problems(folder):
    plan = examine(["videos/a.mp4", "missing.mp4", _POST], cwd=folder)
    assert len(plan.problems) == 1
    assert [f.kind for f in plan.found()] == [Kind.FILE, Kind.POST]


def test_a_named_file_whose_name_is_not_utf8_is_skipped(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    [found] = resolve([name], cwd=tmp_path)
    assert "not valid UTF-8" in (found.skip or "")
    assert r"b\xff" in _only_problem(os.fsdecode(b"b\xff.mp4"), cwd=tmp_path)


@given(st.text() | st.builds("https://{}{}".format, st.sampled_from(_HOSTS), st.text()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_odd_source_crashes(tmp_path, source):
    plan = examine([source], cwd=tmp_path / "nowhere", stdin=io.StringIO(""))
    for problem in plan.problems:
        problem.encode()
    # The first is enough: "/" is a source too, and holds the whole machine.
    assert plan.problems or next(plan.found(), None)


# Manifests


def test_a_manifest_names_a_source_a_line(folder):
    (folder / "videos" / "list.txt").write_bytes(
        f"\ufeff# ours\r\n\r\n  a.mp4  \r\n#b.mov\r\n{_POST}\r\ninner\r\nhttps://example.com/x.mp4".encode()
    )
    found = list(resolve(["videos/list.txt"], cwd=folder))
    assert [(f.kind, Path(f.source).name, f.origin) for f in found] == [
        (Kind.FILE, "a.mp4", "videos/list.txt line 3"),
        (Kind.POST, "BaW_jenozKc", "videos/list.txt line 5"),
        (Kind.FILE, "c.mkv", "videos/list.txt line 6"),
        (Kind.FILE, "notes.txt", "videos/list.txt line 6"),
        (Kind.LINK, "x.mp4", "videos/list.txt line 7"),
    ]


def test_paths_in_a_manifest_start_at_its_folder(folder):
    (folder / "videos" / "mine.LIST").write_text("inner/c.mkv\n")
    [found] = resolve([str(folder / "videos" / "mine.LIST")], cwd=Path("/"))
    assert found.source == f"{folder}/videos/inner/c.mkv"


def test_a_text_file_inside_a_folder_is_no_manifest(folder):
    (folder / "videos" / "inner" / "notes.txt").write_text("missing.mp4\n")
    assert len(list(resolve(["videos"], cwd=folder))) == 4


def test_each_broken_line_of_a_manifest_is_named(folder):
    (folder / "list.txt").write_text("videos/a.mp4\nmissing.mp4\n\nftp://x/y\nhttps://vm.tiktok.com/x\n")
    starts = [problem[: len("list.txt line 2: ")] for problem in _problems("list.txt", cwd=folder)]
    assert starts == ["list.txt line 2: ", "list.txt line 4: ", "list.txt line 5: "]


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n  # comments\n", "\ufeff"])
def test_a_manifest_that_names_nothing_is_a_problem(folder, text):
    (folder / "list.txt").write_text(text)
    assert "names no source" in _only_problem("list.txt", cwd=folder)


@pytest.mark.parametrize("line", ["other.list", "list.txt", "-", "table.csv"])
def test_a_manifest_names_no_other_manifest(folder, line):
    (folder / "list.txt").write_text(f"{line}\n")
    (folder / "other.list").write_text("videos\n")
    (folder / "table.csv").write_text("source\n")
    assert _only_problem("list.txt", cwd=folder).startswith("list.txt line 1: ")


def test_a_manifest_that_is_not_utf8_is_named_with_its_line(folder):
    (folder / "list.txt").write_bytes(b"videos/a.mp4\ncaf\xe9.mp4\n")
    assert "list.txt line 2: not valid UTF-8" in _only_problem("list.txt", cwd=folder)


def test_a_binary_file_with_the_name_of_a_manifest_does_not_crash(folder):
    (folder / "list.txt").write_bytes(b"\x00\x01\x02\n\x00")
    assert len(_problems("list.txt", cwd=folder)) == 2


def test_standard_input_is_a_manifest_relative_to_the_working_folder(folder):
    [one, two] = resolve(["-"], cwd=folder, stdin=io.StringIO(f"videos/b.mov\n{_POST}\n"))
    assert (one.source, one.origin) == (f"{folder}/videos/b.mov", "standard input line 1")
    assert two.kind is Kind.POST


def test_standard_input_is_read_as_utf8_whatever_the_locale(folder):
    (folder / "é.mp4").touch()
    stdin = io.TextIOWrapper(io.BytesIO("\ufeffé.mp4\n".encode()), encoding="latin-1")
    [found] = resolve(["-"], cwd=folder, stdin=stdin)
    assert found.source == f"{folder}/é.mp4"


def test_standard_input_is_read_once(folder):
    assert "named twice" in _only_problem("-", "-", cwd=folder, stdin=io.StringIO(f"{_POST}\n"))


def test_empty_standard_input_is_a_problem():
    assert "standard input" in _only_problem("-", stdin=io.StringIO(""))
