"""Who may use the console: the first link, further tokens, and their end."""

import json
import re
from pathlib import Path

import httpx
import pytest

from tests.console import Console
from tests.service import Service, eventually, sandbox

pytestmark = pytest.mark.acceptance


def test_the_first_start_prints_a_link_that_opens_the_console_and_no_later_one_does(home: Path) -> None:
    with sandbox() as vendor:
        service = Service(home, vendor.url)
        with service.up():
            said = service.words.read_text()
            (link,) = re.findall(r"http://\S+\?token=\S+", said)
            assert said.rstrip().splitlines()[-1].startswith("ready:")
            with httpx.Client(follow_redirects=True) as browser:
                page = browser.get(link)
                assert page.status_code == 200 and "rapi-doc" in page.text and "token" not in str(page.url)
                assert browser.get(f"http://127.0.0.1:{service.console_port}/api/v1/stats").status_code == 200
        with service.up():
            assert "token=" not in service.words.read_text()
        # It was shown, and stands nowhere.
        token = link.partition("token=")[2].encode()
        held = [path for path in home.rglob("*") if path.is_file() and token in path.read_bytes()]
        assert held == []


def test_tokens_are_made_listed_and_revoked_by_name(home: Path) -> None:
    service = Service(home, "http://127.0.0.1:9")
    made = json.loads(service.run("tokens", "add", "grafana", "--json").stdout)
    assert made["role"] == "read" and made["token"].startswith("ingest-1-")
    assert service.run("tokens", "add", "importer", "--operate").stdout.startswith("ingest-2-")
    twice = service.run("tokens", "add", "grafana")
    assert twice.returncode == 2 and "in use" in twice.stderr and twice.stdout == ""
    assert service.run("tokens", "add", "no blanks").returncode == 2
    assert service.run("tokens", "revoke", "grafana").returncode == 0
    assert service.run("tokens", "revoke", "grafana").returncode == 2
    rows = [json.loads(line) for line in service.run("tokens", "list", "--json").stdout.splitlines()]
    assert [(one["name"], one["role"], one["revoked_at"] is not None) for one in rows] == [
        ("grafana", "read", True),
        ("importer", "operate", False),
    ]
    assert made["token"] not in service.run("tokens", "list").stdout
    assert service.run("tokens", "add", "grafana").returncode == 0  # the name is free again


def test_a_name_that_is_none_makes_no_token(home: Path) -> None:
    service = Service(home, "http://127.0.0.1:9")
    done = service.run("tokens", "add", "../a")
    assert (done.returncode, done.stdout) == (2, "") and "name of a token" in done.stderr
    assert service.run("tokens", "list", "--json").stdout == ""


def test_what_tokens_say_as_json_is_one_object_a_line(home: Path) -> None:
    service = Service(home, "http://127.0.0.1:9")
    made = json.loads(service.run("tokens", "add", "importer", "--operate", "--json").stdout)
    assert set(made) == {"name", "role", "token"} and (made["name"], made["role"]) == ("importer", "operate")
    (row,) = [json.loads(line) for line in service.run("tokens", "list", "--json").stdout.splitlines()]
    assert set(row) == {"name", "role", "created_at", "used_at", "revoked_at"}
    assert row["used_at"] is None and row["created_at"].endswith("Z")
    assert json.loads(service.run("tokens", "revoke", "importer", "--json").stdout) == {
        "name": "importer",
        "revoked": True,
    }
    unknown = service.run("tokens", "revoke", "nobody", "--json")
    assert (unknown.returncode, unknown.stdout) == (2, "") and "nobody" in unknown.stderr


def test_a_running_console_takes_what_the_command_line_makes_and_revokes(home: Path) -> None:
    console = Console(home)
    service = Service(home, "http://127.0.0.1:9")
    try:
        token = service.token("grafana")
        with console.client(token) as client:
            assert client.get("/api/v1/stats").status_code == 200
            assert client.post("/api/v1/lanes/upload/pause").status_code == 403
            rows = [json.loads(line) for line in service.run("tokens", "list", "--json").stdout.splitlines()]
            assert next(one for one in rows if one["name"] == "grafana")["used_at"] is not None
            assert service.run("tokens", "revoke", "grafana").returncode == 0
            eventually(lambda: client.get("/api/v1/stats").status_code == 401, 2, "the token to open nothing")
    finally:
        console.end()
