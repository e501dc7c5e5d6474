"""Captions by link and by file, with persons and without, and callbacks that come early, late, twice or never."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ingest.samples import make_video
from tests.service import KEY, Sandbox, Service, eventually, sandbox
from tests.unit.test_cutting import make_clip

pytestmark = pytest.mark.acceptance

CAPTION_KEY = "sk-captions-only"
LIMITS = "caption_video=20/s,human_reid=10/s,caption_image=20/s,image=5/s,upload=20/s"
TIMINGS = "caption=12s,lease=6s,poll=1s"


def _picture(path: Path, seed: int = 0) -> Path:
    from PIL import Image

    Image.new("RGB", (64, 48), (seed * 7 % 256, seed * 31 % 256, 90)).save(path)
    return path


def _service(home: Path, vendor: Sandbox, **variables: str) -> Service:
    service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, INGEST_TIMINGS=TIMINGS)
    service.environment |= {
        "MEMORIES_CAPTION_URL": vendor.url,
        "MEMORIES_CAPTION_API_KEY": CAPTION_KEY,
        "INGEST_PUBLIC_URL": f"http://127.0.0.1:{service.port}",
        "INGEST_CAPTION_SECONDS": "0-300",
        **variables,
    }
    return service


def _sandbox(*options: str) -> Any:
    return sandbox("--limits", LIMITS, "--caption-key", CAPTION_KEY, "--caption-seconds", "0-300", *options)


def _ask(service: Service, *words: str) -> dict[str, Any]:
    done = service.run("caption", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _stories(service: Service) -> list[dict[str, Any]]:
    return [json.loads(service.run("show", str(item["id"]), "--json").stdout) for item in service.items()]


@pytest.mark.parametrize("count", [12, pytest.param(100, marks=[pytest.mark.storm, pytest.mark.timeout(900)])])
def test_every_caption_ends_right_and_none_is_paid_twice(home: Path, count: int) -> None:
    folder = home.parent / "clips"
    folder.mkdir()
    for number in range(count // 2):
        make_video(folder / f"clip {number:03}.mp4", seconds=0.3, seed=number)
    links = [f"https://media.example/{number}.mp4" for number in range(count // 2)]
    links[1] = "https://media.example/bad.mp4"
    person = _picture(home.parent / "ann.jpg")
    faults = "callback_drop=0.15,callback_double=0.2,callback_delay=0.2,callback_early=0.2,callback_response=0.3"
    with _sandbox("--faults", faults, "--seed", "5", "--callback-delay", "1-3") as vendor:
        service = _service(home, vendor)
        with service.up():
            half = len(links) // 2
            clips = sorted(str(path) for path in folder.iterdir())
            jobs = [
                _ask(service, *links[:half], "--prompt", "What happens?"),
                _ask(service, *links[half:], "--prompt", "Who?", "--person", "Ann=https://media.example/ann.jpg"),
                _ask(service, *clips[:half], "--prompt", "What happens?", "--system-prompt", "Be brief", "--thinking"),
                _ask(service, *clips[half:], "--prompt", "Who?", "--person", f"Ann={person}"),
            ]
            for one in jobs:
                service.wait(one["job"], 150)
            items, report = service.items(), vendor.report()
            with service.database().read() as session:
                from ingest import queries

                results = {row.id: row.result for row in queries.items(session)}
            again = _ask(service, *links[:half], "--prompt", "What happens?")
        assert (again["queued"], again["skipped"]) == (0, half)
    assert len(items) == len(report["captions"]) == count
    by_task = {one["task_id"]: one for one in report["captions"]}
    dropped = 0
    for item in items:
        told = by_task[item["task_id"]]
        if item["status"] == "PARSE":
            result = results[item["id"]]
            assert result is not None
            assert (result["text"], result["tokens"]) == (told["text"], told["token"])
        elif told["status"] == "FAILED":
            assert (item["stage"], item["error_code"]) == ("upstream", "caption_failed")
        else:
            assert (item["stage"], item["error_code"]) == ("expired", "no_callback")
            assert "may have been charged" in item["error"]
            dropped += 1
    assert dropped <= report["callbacks"]["dropped"]
    told = {
        name: number
        for name, number in report["callbacks"].items()
        if name in ("dropped", "doubled", "early", "delayed")
    }
    print(
        f"\n{count} captions: {Counter(item['status'] for item in items)}, {dropped} without a callback; callbacks {told}"
    )
    assert (report["captions_twice"], report["violations"]) == ([], [])
    assert (report["wrong_host_keys"], report["bad_keys"]) == (0, 0)
    assert {one["key"] for one in report["captions"]} == {CAPTION_KEY[-4:]}
    assert sum(bool(one["persons"]) for one in report["captions"]) == count - 2 * half


def test_a_lost_answer_of_a_caption_is_settled_by_its_callback_alone(home: Path) -> None:
    with _sandbox("--faults", "drop_answer=1") as vendor:
        service = _service(home, vendor)
        with service.up():
            _ask(service, "https://media.example/1.mp4", "--prompt", "What?")
            _ask(service, "https://media.example/2.mp4", "--prompt", "What?", "--sync")
            service.wait(1, 60)
            service.wait(2, 60)
            first, second = service.items()
            assert first["status"] == "PARSE"
            assert (second["status"], second["stage"]) == ("FAIL", "expired")
            assert "may have been charged" in second["error"]
            told = service.run("retry", "2", "--dry-run")
            assert "costs again" in told.stdout
        assert vendor.report()["captions_twice"] == []


def test_without_a_public_address_only_sync_is_taken(home: Path) -> None:
    with _sandbox() as vendor:
        service = _service(home, vendor, INGEST_PUBLIC_URL="")
        with service.up():
            refused = service.run("caption", "https://media.example/1.mp4", "--prompt", "What?")
            assert refused.returncode == 2
            assert "INGEST_PUBLIC_URL" in refused.stderr and "--sync" in refused.stderr
            pictures = [str(_picture(home.parent / f"{number}.png", number)) for number in range(19)]
            clip = make_video(home.parent / "a.mp4", seconds=0.3)
            linked = "https://media.example/beach.jpg"
            done = service.run(
                "caption", str(clip), *pictures, linked, "--prompt", "What?", "--sync", "--wait", "--json"
            )
        assert done.returncode == 0, done.stderr
        *results, last = [json.loads(line) for line in done.stdout.splitlines()[1:]]
        assert last["counts"]["PARSE"] == 21
        captions = vendor.report()["captions"]
        assert sorted(one["kind"] for one in captions) == ["image"] * 20 + ["video"]
        texts = {one["text"] for one in captions}
        assert len(texts) == 21
        assert {one["result"]["text"] for one in results} == texts


def test_a_video_of_twelve_minutes_is_split_captioned_and_joined(home: Path) -> None:
    clip = make_clip(home.parent / "long.mp4", 720)  # two pictures a second, a key frame each ten seconds
    with sandbox("--limits", LIMITS, "--caption-key", CAPTION_KEY) as vendor:
        service = _service(home, vendor, INGEST_CAPTION_SECONDS="20-300")
        with service.up():
            whole = _ask(service, str(clip), "--prompt", "What happens?")
            service.wait(whole["job"], 60)
            parts = _ask(service, str(clip), "--prompt", "What happens?", "--split", "--again")
            service.wait(parts["job"], 60)
            stories, report = _stories(service), vendor.report()
            # planned, and then it is another file: each part says so, and the whole ends
            service.environment["INGEST_CAPTION_SECONDS"] = "20-200"
            service.run("pause", "caption_video")
            changed = _ask(service, str(clip), "--prompt", "And now?", "--split")
            clip.write_bytes(clip.read_bytes() + b"more")
            service.run("resume", "caption_video")
            service.wait(changed["job"], 60)
            assert {item["error_code"] for item in service.items("--job", "3")} == {"part_failed", "changed"}
    assert (stories[0]["status"], stories[0]["error_code"]) == ("FAIL", "wrong_length")
    assert "--split" in stories[0]["error"]
    joined, *cut = stories[1:]
    assert joined["status"] == "PARSE"
    assert joined["parts"] == [part["id"] for part in cut]
    assert [part["span"] for part in cut] == [[0, 240], [240, 480], [480, 720]]
    assert len(report["captions"]) == 3
    texts = [part["result"]["text"] for part in cut]
    assert {one["text"] for one in report["captions"]} == set(texts)
    lines = joined["result"]["text"].splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[00:00-04:00]", "[04:00-08:00]", "[08:00-12:00]"]
    assert all(text in joined["result"]["text"] for text in texts)
    assert joined["result"]["tokens"]["total"] == sum(part["result"]["tokens"]["total"] for part in cut)
    assert not list((home / "spool").iterdir())


def test_pictures_travel_in_full_batches_and_bad_ones_alone(home: Path) -> None:
    folder = home.parent / "pictures"
    folder.mkdir()
    for number in range(59):
        _picture(folder / f"{number:02}.{('png', 'jpg', 'webp')[number % 3]}", number)
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    with _sandbox("--key", KEY) as vendor:
        service = _service(home, vendor)
        with service.up():
            left = service.add(str(folder))
            assert (left["queued"], left["skipped"]) == (0, 60)
            taken = service.add(str(folder), "--images", "--tag", "disk")
            assert taken["queued"] == 60
            service.wait(taken["job"], 60)
            again = service.add(str(folder), "--images")
            service.wait(again["job"], 60)
        items, report = service.items("--job", str(taken["job"])), vendor.report()
        copies = service.items("--job", str(again["job"]))
    ends = [(item["status"], item["error_code"]) for item in items]
    assert ends.count(("PARSE", None)) == 59
    assert {item["error_code"] for item in copies if item["status"] == "SKIPPED"} == {"duplicate"}
    assert len(report["images"]) == 59
    assert report["images_twice"] == []
    assert {item["video_no"] for item in items if item["status"] == "PARSE"} == {one["id"] for one in report["images"]}
    assert all("disk" in one["metadata"]["tags"] for one in report["images"])
    assert report["calls"]["image"]["accepted"] == 3
    assert report["violations"] == []


def test_a_question_that_makes_no_sense_changes_nothing(home: Path) -> None:
    service = Service(home, "http://127.0.0.1:9")
    service.environment["INGEST_PUBLIC_URL"] = "https://hooks.example"
    clip = make_video(home.parent / "a.mp4", seconds=0.3)
    for words, said in (
        ([str(clip), "--prompt", " "], "--prompt is empty"),
        ([str(clip), "--prompt", "Who?", "--person", "Ann"], "NAME=PICTURE"),
        ([str(clip), "--prompt", "Who?", "--person", "Ann=gone.jpg"], "Ann"),
        ([str(clip), "--prompt", "Who?", *["--person", "A=https://x.example/a.jpg"] * 6], "at most 5"),
        (["https://www.tiktok.com/@a/video/7300000000000000001", "--prompt", "What?"], "a post"),
    ):
        refused = service.run("caption", *words)
        assert refused.returncode == 2, (words, refused.stderr)
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
    assert eventually(lambda: service.items("--limit", "1") == [], 5)
