"""Files, links and posts of three platforms, in two namespaces, private and public: all equal to the vendor's truth."""

import json
from pathlib import Path

import pytest

from ingest.samples import make_video
from tests.service import Service, differs, sandbox

pytestmark = pytest.mark.acceptance

LIMITS = "upload=20/s,scrape=1/s,detail=20/s,list=20/s,task_status=5/s"
TIMINGS = "scrape=20s,poll=1s,unsure=20s,lease=10s"


def _posts(start: int, count: int) -> list[str]:
    """A third of each platform."""
    shapes = (
        "https://www.tiktok.com/@alice/video/73{:017}",
        "https://www.youtube.com/watch?v=abcdef{:05}",
        "https://www.instagram.com/reel/Cabcdef{:04}/",
    )
    return [shapes[number % 3].format(number) for number in range(start, start + count)]


def _library(folder: Path, files: int, links: int, posts: int) -> list[list[str]]:
    """The commands that import it: a folder with tags, a CSV for two namespaces, public posts from a text manifest."""
    clips = folder / "clips"
    clips.mkdir()
    for number in range(files):
        make_video(clips / f"{number:03}.mp4", seconds=0.3, seed=number)
    rows = ["source,unique_id,tags,quality"]
    rows += [f"https://media.example/{number}/clip-{number}.mp4,family,sea;summer," for number in range(links)]
    third = posts // 3
    rows += [f"{post},{'family' if number % 2 else 'work'},,720" for number, post in enumerate(_posts(0, third * 2))]
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    (folder / "public.txt").write_text("\n".join(_posts(third * 2, third)) + "\n")
    return [
        ["add", str(clips), "--unique-id", "work", "--tag", "disk", "--camera-model", "Dock Cam", "--json"],
        ["add", str(folder / "list.csv"), "--json"],
        ["add", str(folder / "public.txt"), "--public", "--json"],
    ]


@pytest.mark.parametrize(
    ("database", "files", "links", "posts"),
    [
        pytest.param("sqlite", 12, 4, 60, id="some on sqlite"),
        pytest.param("sqlite", 200, 20, 300, id="many on sqlite", marks=pytest.mark.storm),
        pytest.param("postgres", 200, 20, 300, id="many on postgres", marks=pytest.mark.storm),
    ],
)
def test_every_kind_of_source_ends_as_the_vendor_says(
    home: Path, database: str, files: int, links: int, posts: int, request: pytest.FixtureRequest
) -> None:
    with sandbox("--limits", LIMITS) as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
        if database == "postgres":
            service.environment["INGEST_DATABASE_URL"] = request.getfixturevalue("postgres_database")
            service.environment["INGEST_SECRET"] = "shared by all hosts"
        with service.up():
            added = []
            for command in _library(home.parent, files, links, posts):
                done = service.run(*command)
                assert done.returncode == 0, done.stderr
                added.append(json.loads(done.stdout))
            for one in added:
                service.wait(one["job"], 250)
            # the same once more: nothing is sent
            again = service.add(str(home.parent / "clips"), "--unique-id", "work")
            assert (again["queued"], again["skipped"]) == (0, files)
            items, report = service.items(), vendor.report()
    assert sum(one["items"] for one in added) == files + links + posts
    assert differs(items, report) == []
    assert {item["status"] for item in items if item["job"] != again["job"]} == {"PARSE"}
    assert (report["violations"], report["duplicates"]) == ([], [])
    by_number = {video["video_no"]: video for video in report["videos"]}
    for item in items:
        if item["status"] == "PARSE":
            video = by_number[item["video_no"]]
            assert video["library"] == ("public" if item["video_no"].startswith("PI-") else "private")
            if video["library"] == "private":
                assert video["unique_id"] == item["unique_id"]
    assert sum(video["library"] == "public" for video in report["videos"]) == posts // 3
    disk = [video for video in report["videos"] if video["sha256"]]
    assert len(disk) == files
    assert all("disk" in video["extras"]["tags"] and video["extras"]["camera_model"] == "Dock Cam" for video in disk)


def test_a_manifest_with_broken_lines_is_refused_whole_or_taken_without_them(home: Path) -> None:
    rows = [f"https://media.example/{number}.mp4,2026-07-01" for number in range(10_000)]
    rows[41] = "gopher://old/42.mp4,"
    rows[4_199] = "https://media.example/x.mp4,yesterday"
    rows[9_998] = "https://user:password@media.example/x.mp4,"
    manifest = home.parent / "big.csv"
    manifest.write_text("source,datetime_taken\n" + "\n".join(rows) + "\n")
    service = Service(home, "http://127.0.0.1:9")
    refused = service.run("add", str(manifest))
    assert refused.returncode == 2
    named = [line for line in refused.stderr.splitlines() if "line " in line]
    assert [line.split("line ")[1].split(":")[0] for line in named] == ["43", "4201", "10000"]
    assert service.items("--limit", "1") == []
    taken = service.run("add", str(manifest), "--skip-invalid", "--json")
    assert taken.returncode == 1
    assert json.loads(taken.stdout)["queued"] == 9_997
    assert service.run("add", str(manifest), "--skip-invalid", "--again", "--json").returncode == 1


def test_adopted_videos_make_their_files_known(home: Path) -> None:
    folder = home.parent / "clips"
    folder.mkdir()
    for number in range(5):
        make_video(folder / f"old {number}.mp4", seconds=0.3, seed=number)
    with sandbox("--limits", LIMITS) as vendor:
        first = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
        with first.up():
            first.add(str(folder))
            first.wait(1, 200)
        second = Service(home.parent / "other", vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
        with second.up():
            done = second.run("adopt", "--json")
            assert json.loads(done.stdout) == {"job": 1, "adopted": 5, "known": 0}, done.stderr
            assert json.loads(second.run("adopt", "--json").stdout)["known"] == 5
            assert second.add(str(folder))["skipped"] == 5
            (twin,) = {item["error_code"] for item in second.items("--job", "3")}
            assert twin == "duplicate"
        assert len(vendor.report()["videos"]) == 5
