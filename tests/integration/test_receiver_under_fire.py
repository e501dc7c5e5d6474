"""Thousands of callbacks, a third of them garbage, forged or doubled, while the receiver is killed: what 200 means, and what it does."""

import hashlib
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from itsdangerous import TimestampSigner
from sqlalchemy import text

from ingest import queries, store
from ingest.clock import now_ms
from ingest.database import Database
from ingest.lanes import Lane
from ingest.models import PRIVATE, Job
from ingest.nudge import make_celery
from ingest.settings import Settings
from ingest.sources.resolve import resolve
from ingest.tokens import MAX_AGE_SECONDS, new_short_id, sign
from tests.receiver import SECRET, Receiver
from workers import inbox
from workers.context import Context

pytestmark = pytest.mark.integration

#: What comes in, repeated: a third of it is not simply valid.
ROUND = (
    *("no json", "empty", "too deep", "too large", "another secret", "wrong door", "expired", "doubled"),
    *["valid"] * 16,
)
KEPT = ("valid", "doubled", "no json", "empty", "too deep")
FORGED = ("another secret", "wrong door", "expired")
_THREADS = 16


class _Old(TimestampSigner):
    def get_timestamp(self) -> int:
        return super().get_timestamp() - MAX_AGE_SECONDS - 60


def _token(kind: str, short_id: str) -> str:
    if kind == "another secret":
        return sign("another secret", "upload", short_id)
    if kind == "wrong door":
        return sign(SECRET, "scraper", short_id)
    if kind == "expired":
        old = _Old(SECRET, salt="memories-ingest.callback.upload", digest_method=hashlib.sha256)
        return old.sign(short_id).decode()
    return sign(SECRET, "upload", short_id)


def _body(kind: str, short_id: str) -> bytes:
    if kind in ("empty", "too large", "no json", "too deep"):
        marked = {"empty": "", "too large": "x" * 256_001, "no json": f"{short_id}{{", "too deep": "[" * 5000}
        return marked[kind].encode()
    return json.dumps({"videoNo": f"VI{short_id}", "status": "PARSE"}).encode()


def _prepare(database: Database, count: int) -> dict[str, int]:
    """Links that Memories.ai has accepted: item by the short id of its submission. None is due for an hour."""
    found = list(resolve([f"https://media.example/{number}.mp4" for number in range(count)]))
    items = {}
    with database.write() as session:
        job = store.add_job(session, "add", ["links"], "default", PRIVATE)
        store.add_items(session, session.get_one(Job, job), found, {})
        for _ in range(count):
            claimed = store.claim(session, Lane.UPLOAD, "account", 60)
            assert claimed and claimed.items[0].id
            later, number = now_ms() + 3_600_000, f"VI{claimed.submission.short_id}"
            store.accepted(session, claimed, video_no=number, task_id=None, sent_at=now_ms(), due_at=later)
            items[claimed.submission.short_id] = claimed.items[0].id
    return items


class _Fire:
    """Sends the callbacks from many threads; what was answered 200, 404, 413, by short id and how often."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._up = threading.Event()
        self._up.set()
        self._own = threading.local()
        self._lock = threading.Lock()
        self.answers: dict[str, Counter[int]] = {}

    def send(self, kind: str, short_id: str) -> None:
        for _ in range(2 if kind == "doubled" else 1):
            assert self._up.wait(120)
            try:
                url = f"{self._receiver.url}/webhooks/upload/{_token(kind, short_id)}"
                code = self._client().post(url, content=_body(kind, short_id)).status_code
            except httpx.TransportError:
                code = 0
            with self._lock:
                self.answers.setdefault(short_id, Counter())[code] += 1

    def kill(self) -> None:
        self._up.clear()
        self._receiver.kill()  # what the others have under way is cut
        self._receiver.restart()
        self._up.set()

    def _client(self) -> httpx.Client:
        if not hasattr(self._own, "client"):
            self._own.client = httpx.Client(timeout=30)
        return self._own.client


@pytest.mark.parametrize("count", [720, pytest.param(10_000, marks=pytest.mark.storm)])
def test_what_was_answered_200_is_there_once_and_has_its_effect(
    receiver: Receiver, count: int, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = _prepare(receiver.database, min(count // 6, 480))
    short_ids = [*prepared, *(new_short_id() for _ in range(count - len(prepared)))]
    kinds = {short_id: ROUND[number % len(ROUND)] for number, short_id in enumerate(short_ids)}
    fire = _Fire(receiver)

    def send(number: int) -> None:
        if number in (count // 3, count * 2 // 3):
            fire.kill()
        fire.send(kinds[short_ids[number]], short_ids[number])

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(send, range(count)))

    kept = receiver.kept()
    times = Counter(one.short_id for one in kept)
    codes = Counter((kinds[short_id], code) for short_id, found in fire.answers.items() for code in found.elements())
    print(f"\n{dict(codes)}")
    for short_id, kind in kinds.items():
        answered = fire.answers[short_id]
        if kind in KEPT:
            assert set(answered) <= {200, 0}, (kind, answered)
            # one that was cut may have been kept all the same
            assert answered[200] <= times[short_id] <= answered[200] + answered[0], (kind, answered)
        else:
            assert set(answered) <= {413 if kind == "too large" else 404, 0}, (kind, answered)
            assert times[short_id] == 0, (kind, answered)
    assert all(one.body == _body(kinds[one.short_id or ""], one.short_id or "") for one in kept)
    cut = sum(found[0] for found in fire.answers.values())
    assert 0 < cut < count // 10

    _apply_all(receiver, valkey, monkeypatch)
    with receiver.database.read() as session:
        items = {item.id: item for item in queries.items(session)}
        events = session.execute(text("SELECT item_id, count(*) FROM event GROUP BY item_id")).all()
        waiting = session.execute(text("SELECT count(*) FROM callback WHERE state = 'new'")).scalar_one()
    assert waiting == 0
    assert {number for _, number in events} == {3}  # added, claimed, accepted: a callback by itself changes no status
    for short_id, item_id in prepared.items():
        item, kind = items[item_id], kinds[short_id]
        hinted = kind in ("valid", "doubled") and times[short_id] > 0
        assert (item.hinted_at is not None) is hinted, (kind, fire.answers[short_id])
        assert (item.due_at <= now_ms()) is hinted
        assert (item.status, item.attempts, item.asked) == ("UNPARSE", 1, 0)


def _apply_all(receiver: Receiver, valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inbox, as a worker runs it."""
    variables = {"INGEST_DATABASE_URL": receiver.database.url, "INGEST_SECRET": SECRET, "INGEST_REDIS_URL": valkey}
    for name, value in (variables | {"INGEST_HOME": str(receiver.home), "MEMORIES_API_KEY": "sk-test"}).items():
        monkeypatch.setenv(name, value)
    settings = Settings()  # type: ignore[call-arg]
    context = Context(settings, make_celery(settings))
    try:
        inbox.run(context)
    finally:
        context.close()
