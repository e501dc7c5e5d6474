"""From what was found to a job, and on with one that was written in part, on SQLite and on PostgreSQL alike."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlmodel import Session

from ingest import adding, content, operating, queries
from ingest.adding import AddedJob, Wanted, add_items
from ingest.choosing import BadRequest, NotThere, selection
from ingest.database import Database
from ingest.models import Callback, Item, Job, Pause
from ingest.queries import Selection
from ingest.settings import Settings, read
from ingest.sources.files import walk
from ingest.sources.found import Found, Kind

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(home: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Settings:
    monkeypatch.setenv("INGEST_HOME", str(home))
    monkeypatch.setenv("INGEST_DATABASE_URL", database_url)
    return read(Settings)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "_CHUNK", 3)


Add = Callable[..., AddedJob]


@pytest.fixture
def add(settings: Settings, database: Database) -> Add:
    def adds(found: Iterator[Found], **more) -> AddedJob:
        return add_items(settings, database, ["x"], found, Wanted(), **more)

    return adds


def _links(*numbers: int) -> Iterator[Found]:
    for number in numbers:
        url = f"https://media.example/{number}.mp4"
        yield Found(Kind.LINK, url, key=f"link:{url}")


def _broken_off(found: Iterator[Found]) -> Iterator[Found]:
    """The process dies when all but the last chunk are written."""
    yield from found
    raise ConnectionResetError


def _items(database: Database, job: int) -> list[Item]:
    with database.read() as session:
        return list(queries.items(session, job_id=job))


def _only_job(database: Database) -> int:
    with database.read() as session:
        [job] = queries.jobs(session)
    assert job.id is not None
    return job.id


def test_what_comes_first_is_written_with_the_job(add: Add, database: Database) -> None:
    def keep(session: Session, job: int) -> None:
        session.get_one(Job, job).command = f"the key of job {job}"

    job = add(_links(1), first=keep).job
    with database.read() as session:
        assert session.get_one(Job, job).command == f"the key of job {job}"


def test_when_what_comes_first_fails_there_is_no_job(add: Add, database: Database) -> None:
    def fails(session: Session, job: int) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        add(_links(1), first=fails)
    with database.read() as session:
        assert queries.jobs(session) == []


def test_a_job_that_was_written_in_part_goes_on_where_it_stood(add: Add, database: Database) -> None:
    with pytest.raises(ConnectionResetError):
        add(_broken_off(_links(1, 2, 3, 4, 5)))
    job = _only_job(database)
    before = _items(database, job)
    assert len(before) == 3
    added = add(_links(1, 2, 3, 4, 5, 6, 7), into=job)
    assert added == AddedJob(job, 4, 0)
    after = _items(database, job)
    assert [item.source for item in after] == [one.source for one in _links(1, 2, 3, 4, 5, 6, 7)]
    assert {item.status for item in after} == {"QUEUED"}
    assert after[:3] == before
    assert add(_links(1, 2, 3, 4, 5, 6, 7), into=job) == AddedJob(job, 0, 0)
    assert _only_job(database) == job


def test_what_another_job_has_is_a_copy_still(add: Add, database: Database) -> None:
    add(_links(9))
    job = add(_links(1)).job
    assert add(_links(1, 9), into=job) == AddedJob(job, 0, 1)


def test_files_that_a_job_has_are_not_hashed_once_more(
    add: Add, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    for number in range(4):
        (library / f"{number}.mp4").write_bytes(b"%d" % number)
    files = list(walk(library))
    job = add(iter(files[:3])).job
    hashed: list[Path] = []
    real = content.hash_file
    monkeypatch.setattr(content, "hash_file", lambda path: hashed.append(path) or real(path))
    assert add(iter(files), into=job) == AddedJob(job, 1, 0)
    assert hashed == [library / "3.mp4"]


def test_two_that_continue_one_job_at_once_write_each_source_once(
    add: Add, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = add(_links(1)).job
    both = threading.Barrier(2)

    def together(numbers: tuple[int, ...]) -> AddedJob:
        both.wait(20)
        return add(_links(*numbers), into=job)

    # Both have found nothing of it in the job before either writes.
    monkeypatch.setattr(queries, "sources_in_job", lambda *_: set())
    numbers = tuple(range(1, 12))
    with ThreadPoolExecutor(2) as pool:
        added = list(pool.map(together, [numbers, numbers]))
    assert sum(one.items for one in added) == 10
    assert sorted(item.source for item in _items(database, job)) == sorted(one.source for one in _links(*numbers))


# What both doors ask


def test_items_are_chosen_by_platform_lane_and_namespace(add: Add, database: Database, settings: Settings) -> None:
    post = Found(Kind.POST, "https://youtu.be/x", key="post:youtube:x", platform="youtube", post_id="x")
    add(iter([*_links(1), post]))
    add_items(settings, database, ["x"], _links(2), Wanted("family"))

    def chosen(**words: list[str]) -> list[int]:
        with database.read() as session:
            return queries.item_ids(session, selection(database, **words))

    assert chosen(platform=["YouTube"]) == chosen(lane=["scrape"]) == [2]
    assert chosen(lane=["upload"]) == [1, 3]
    assert chosen(namespace=["family"]) == [3]
    assert chosen(namespace=["family", "default"], lane=["upload"]) == [1, 3]
    for words in ({"platform": ["vimeo"]}, {"lane": ["fast"]}):
        with pytest.raises(BadRequest, match="is no "):
            chosen(**words)


def test_what_is_not_there_is_told_from_what_cannot_be_meant(add: Add, database: Database, settings: Settings) -> None:
    add(_links(1))
    for wrong in (
        lambda: selection(database, job=7),
        lambda: operating.retry(database, [7], Selection()),
        lambda: operating.cancel_items(database, [1, 7]),
        lambda: operating.cancel_job(database, 7),
        lambda: operating.scope_of(settings, database, "7"),
        lambda: operating.replay_callbacks(database, [7], []),
    ):
        with pytest.raises(NotThere):
            wrong()
    for wrong in (
        lambda: operating.retry(database, [], Selection()),
        lambda: operating.retry(database, [], Selection(statuses=["PARSE"])),
        lambda: operating.scope_of(settings, database, "everything"),
        lambda: operating.pause_length("0s"),
        lambda: operating.pause_length("long"),
        lambda: operating.replay_callbacks(database, [], ["old"]),
    ):
        with pytest.raises(BadRequest) as caught:
            wrong()
        assert caught.type is BadRequest
    [item] = _items(database, 1)
    assert item.status == "QUEUED"
    with database.read() as session:
        assert (session.get(Pause, ("job:1", "operator")), session.get(Callback, 1)) == (None, None)
