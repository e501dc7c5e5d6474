"""Following from the command line: what is said, what is shown, what cannot be meant."""

import json
from pathlib import Path

import pytest

from tests.service import Service

pytestmark = pytest.mark.acceptance

URL = "https://www.tiktok.com/@some.one"


def test_a_creator_is_followed_shown_paused_and_removed(home: Path) -> None:
    service = Service(home, "http://127.0.0.1:9")
    made = service.run(
        "creators", "add", URL, "--cron", "0 */6 * * *", "--tz", "Europe/Berlin", "--limit", "12", "--json"
    )
    row = json.loads(made.stdout)
    assert made.returncode == 0 and (row["creator"], row["limit"], row["mode"]) == (1, 12, "vendor")
    assert "ingest up" in made.stderr
    story = json.loads(service.run("creators", "show", "1", "--json").stdout)
    assert len(story["next_runs"]) == 5 and story["history"] == [] and story["last"] is None
    assert "at 0 */6 * * * in Europe/Berlin" in service.run("creators", "list").stdout
    assert service.run("creators", "pause", "1", "--reason", "holidays").returncode == 0
    assert "holidays" in service.run("creators", "show", "1").stdout
    assert service.run("creators", "run", "1").returncode == 2
    assert service.run("creators", "resume", "1").returncode == 0
    assert service.run("creators", "run", "1").stdout == "creator 1 is due now\n"
    assert service.run("creators", "metrics", "1", "--csv").stdout.startswith("at,creator,item,url,video_no,views")
    assert service.run("creators", "remove", "1").returncode == 0
    assert service.run("creators", "list", "--json").stdout == ""
    assert json.loads(service.run("creators", "list", "--removed", "--json").stdout)["state"] == "removed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", URL], "every"),
        (["add", URL, "--every", "soon"], "soon"),
        (["add", "https://www.tiktok.com/@a/video/7300000000000000001", "--every", "6h"], "post"),
        (["add", "no address", "--every", "6h"], "no address"),
        (["show", "7"], "no creator 7"),
        (["metrics"], "--csv"),
    ],
)
def test_what_cannot_be_meant_gets_one_sentence_and_changes_nothing(
    home: Path, arguments: list[str], said: str
) -> None:
    service = Service(home, "http://127.0.0.1:9")
    done = service.run("creators", *arguments)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
    assert service.run("creators", "list", "--json").stdout == ""
