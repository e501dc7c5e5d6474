"""How a worker process ends says what became of it: its parent judges by the exit code."""

import sys
from pathlib import Path

import pytest

from workers import __main__ as entry
from workers.isolation import NOT_STARTED


@pytest.fixture
def alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_HOME", str(home))
    monkeypatch.setenv("MEMORIES_API_KEY", "sk-test")
    monkeypatch.setattr(sys, "argv", ["ingest", "alone", "--submission", "1", "--lane", "upload"])


def test_a_process_of_its_own_that_cannot_begin_is_no_death(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "_BROKER_SECONDS", 0.1)
    assert entry.main() == NOT_STARTED


@pytest.mark.parametrize("end", [MemoryError, RuntimeError])
def test_what_ends_it_later_is_not_called_a_start_that_failed(
    alone: None, monkeypatch: pytest.MonkeyPatch, end: type[Exception]
) -> None:
    def dies(*_: object) -> int:
        raise end

    monkeypatch.setattr(entry, "_await_broker", lambda _: None)
    monkeypatch.setattr(entry.alone, "main", dies)
    with pytest.raises(end):
        entry.main()
