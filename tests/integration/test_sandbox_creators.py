"""Creators and hashtags at the stand-in: pages that grow, lose and regain posts, as scraper tasks see them."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count, product
from typing import Any

import httpx
import pytest

from sandbox.posts import recognise
from tests.integration.test_sandbox import QUICK, Receiver, Sandbox, running, until

pytestmark = pytest.mark.integration

PROFILES = {
    "tiktok": "https://www.tiktok.com/@dock{}",
    "youtube": "https://www.youtube.com/@dock{}",
    "instagram": "https://www.instagram.com/dock{}/",
}
CALLS = ("scraper", "scraper_public", "scraper_tag", "scraper_tag_public")
_numbers = count()


class Stage:
    """A stand-in, a namespace of it and pages that nobody else uses."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.number = next(_numbers)
        self.namespace = f"ns-{self.number}"
        self.profile = self.address("tiktok")
        self.tag = f"tag{self.number}"

    def address(self, platform: str) -> str:
        return PROFILES[platform].format(self.number)

    def control(self, name: str, **body: Any) -> dict[str, Any]:
        answer = self.sandbox.http.post(f"/_sandbox/{name}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def tell(self, url: str | None = None, **script: Any) -> list[str]:
        """URLs of the page's posts, newest first."""
        return urls(self.control("profiles", url=url or self.profile, **script))

    def truth(self, url: str | None = None, **query: Any) -> dict[str, Any]:
        answer = self.sandbox.http.get("/_sandbox/profiles", params={"url": url or self.profile, **query})
        [page] = answer.json()["profiles"]
        return page

    def ask(self, call: str, **fields: Any) -> httpx.Response:
        what = {"hash_tags": [self.tag]} if "tag" in call else {"username": self.profile}
        fields = {"unique_id": self.namespace, **what, **fields}
        return self.sandbox.http.post(f"/serve/api/v1/{call}", json=fields)

    def scrape(self, call: str = "scraper", **fields: Any) -> dict[str, Any]:
        """The report's account of a task that has ended."""
        answer = self.ask(call, **fields).json()
        assert answer["code"] == "0000", answer
        assert answer["data"].keys() == {"taskId"}
        return until(lambda: (task := self.task(answer["data"]["taskId"]))["status"] != "RUNNING" and task)

    def task(self, task_id: str) -> dict[str, Any]:
        [task] = [task for task in self.sandbox.report(brief=True)["tasks"] if task["task_id"] == task_id]
        return task

    def yielded(self, task: dict[str, Any]) -> list[str]:
        return [video["video_url"] for video in self.sandbox.task(task["task_id"], self.namespace)["videos"]]

    def detail(self, video_no: str) -> dict[str, Any]:
        return self.sandbox.get("get_public_video_detail", video_no=video_no)["data"]


def urls(page: dict[str, Any]) -> list[str]:
    return [post["url"] for post in page["posts"]]


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with running(*QUICK, "--seed", "4") as sandbox:
        yield sandbox


@pytest.fixture
def stage(shared: Sandbox) -> Iterator[Stage]:
    """Quick, unlimited, without faults: a test sets its own."""
    yield Stage(shared)
    shared.http.post("/_sandbox/faults", json={})


@pytest.fixture
def start() -> Iterator[Callable[..., Stage]]:
    with ExitStack() as stack:
        yield lambda *options: Stage(stack.enter_context(running(*options)))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


# What a task brings


@pytest.mark.parametrize("platform", PROFILES)
def test_a_profile_reports_its_newest_posts_first(stage, platform):
    url = stage.address(platform)
    posts = stage.tell(url, posts=12)
    task = stage.scrape(username=url, scraper_cnt=5)
    assert stage.yielded(task) == posts[:5]
    assert (task["status"], task["looks"][0]["wanted"]) == ("SUCCEEDED", 5)
    published = [post["published_ms"] for post in stage.truth(url)["posts"]]
    assert published == sorted(published, reverse=True)


def test_a_task_brings_four_posts_of_a_creator_and_two_of_each_hashtag_unless_it_is_told(stage):
    stage.tell(posts=6)
    tags = [stage.tag, f"{stage.tag}too"]
    for tag in tags:
        stage.tell(f"https://www.tiktok.com/tag/{tag}", posts=6)
    assert len(stage.scrape()["video_nos"]) == 4
    assert len(stage.scrape("scraper_tag", hash_tags=tags)["video_nos"]) == 4
    assert len(stage.scrape("scraper_tag", hash_tags=tags, scraper_cnt=100)["video_nos"]) == 12
    assert len(stage.scrape(scraper_cnt="100")["video_nos"]) == 6


def test_a_page_that_nobody_told_of_has_posts_and_is_the_same_for_the_same_seed(start):
    def found(seed: str) -> list[list[str]]:
        stage = start(*QUICK, "--seed", seed)
        pages = [address.format("nine") for address in PROFILES.values()]
        tasks = [stage.scrape(username=page) for page in pages]
        tasks.append(stage.scrape("scraper_tag", hash_tags=["gates"], scraper_cnt=4))
        return [stage.yielded(task) for task in tasks]

    first = found("8")
    assert [len(posts) for posts in first] == [4, 4, 4, 4]
    assert first == found("8") != found("9")


def test_what_one_hashtag_shows_others_may_show_too_and_it_comes_once(stage):
    tags = [stage.tag, f"{stage.tag}too"]
    posts = stage.tell(posts=3, tags=tags)
    for tag in tags:
        stage.tell(f"https://www.tiktok.com/tag/{tag}", posts=0)
    task = stage.scrape("scraper_tag", hash_tags=[*tags, tags[0].upper()], scraper_cnt=2)
    assert stage.yielded(task) == posts[:2]
    assert stage.scrape()["known"] == task["new"]


# Public


def test_public_posts_are_in_no_list_and_their_detail_knows_creator_and_tags(stage):
    stage.tell(posts=2, tags=["gates", "docks"])
    [video_no] = stage.scrape("scraper_public", scraper_cnt=1)["video_nos"]
    assert video_no.startswith("PI-")
    detail = stage.detail(video_no)
    post = stage.truth()["posts"][0]
    assert detail["video_url"] == f"https://www.tiktok.com/player/v1/{post['post_id']}"
    assert (detail["blogger_id"], detail["hash_tag"]) == (f"dock{stage.number}", "#gates#docks")
    assert int(detail["publish_time"]) == post["published_ms"] // 1000
    assert stage.sandbox.list("default", video_no=video_no) == stage.sandbox.list(stage.namespace) == []
    assert stage.sandbox.task(stage.scrape("scraper_public")["task_id"], "default")["video_ids"][0] == video_no


def test_counters_are_those_of_the_last_scrape(stage):
    stage.tell(posts=1, pace=50)
    first = stage.scrape("scraper_public")
    [video_no] = first["video_nos"]

    def shown() -> dict[str, int]:
        return {name: int(count) for name, count in stage.detail(video_no).items() if name.endswith("_count")}

    def truth(at_ms: int) -> dict[str, int]:
        return stage.truth(at_ms=at_ms)["posts"][0]["counters"]

    before = shown()
    assert before == truth(first["ended_ms"])
    time.sleep(0.2)
    assert shown() == before
    second = stage.scrape("scraper_public")
    assert (second["new"], second["known"]) == ([], [video_no])
    assert shown() == truth(second["ended_ms"])
    assert shown()["view_count"] > before["view_count"]
    later = truth(second["ended_ms"] + 86_400_000)
    assert all(later[name] > before[name] for name in before)


def test_counters_can_move_by_themselves(start):
    stage = start(*QUICK, "--live-counters")
    stage.tell(posts=1, pace=50)
    [video_no] = stage.scrape("scraper_public")["video_nos"]
    before = int(stage.detail(video_no)["view_count"])
    until(lambda: int(stage.detail(video_no)["view_count"]) > before)


def test_a_post_that_was_sent_by_itself_shares_video_and_counters_with_its_creators(stage):
    [post] = stage.tell(posts=1)
    alone = stage.sandbox.post("scraper_url_public", json={"video_urls": [post]})["data"]["taskId"]
    [video_no] = until(lambda: stage.sandbox.task(alone, "default")["video_ids"])
    assert stage.detail(video_no)["blogger_id"] == f"dock{stage.number}"
    assert stage.scrape("scraper_public")["known"] == [video_no]


# Coming, going, returning


def test_a_repeated_scrape_brings_what_is_new_and_keeps_the_videos_of_what_is_known(stage, receiver):
    stage.tell(posts=3)
    first = stage.scrape()
    assert (len(first["new"]), first["known"]) == (3, [])
    [added] = stage.control("posts/add", profile=stage.profile)["posts"]
    second = stage.scrape(callback_url=receiver.url("k"))
    assert second["video_nos"] == second["new"] + first["video_nos"]
    assert stage.yielded(second)[0] == added["url"]
    until(lambda: len(receiver.at("k")) == 5)  # one for the task, one for each of its videos
    assert len(stage.sandbox.list(stage.namespace)) == 4


def test_a_removed_post_is_not_seen_until_it_is_restored(stage):
    posts = stage.tell(posts=3)
    before = stage.scrape()
    stage.control("posts/remove", post=posts[0])
    assert stage.yielded(stage.scrape()) == posts[1:]
    assert len(stage.sandbox.list(stage.namespace)) == 3
    assert not stage.truth()["posts"][0]["visible"]
    stage.control("posts/restore", post=posts[0])
    after = stage.scrape()
    assert (after["video_nos"], after["new"]) == (before["video_nos"], [])
    assert len(stage.truth()["posts"][0]["shown"]) == 2


def test_a_hidden_post_that_is_sent_by_itself_does_not_appear(stage):
    posts = stage.tell(posts=2)
    stage.control("posts/remove", post=posts[1])

    def send() -> list[str]:
        task_id = stage.sandbox.scrape(*posts, unique_id=stage.namespace)
        until(lambda: stage.task(task_id)["status"] != "RUNNING")
        return [video["video_url"] for video in stage.sandbox.task(task_id, stage.namespace)["videos"]]

    assert send() == posts[:1]
    assert posts[1] in stage.sandbox.report()["hidden"]
    stage.control("posts/restore", post=posts[1])
    assert send() == posts
    assert posts[1] not in stage.sandbox.report()["hidden"]


def test_a_profile_grows_loses_and_regains_posts_and_the_truth_knows_when(stage):
    stage.tell(posts=4, grow_every=0.1, lose_every=0.25, regain_after=0.2)
    tasks = [stage.scrape(scraper_cnt=1000) for _ in range(8)]
    stage.control("profiles", url=stage.profile, grow_every=None, lose_every=None)
    truth = {post["post_id"]: post for post in stage.truth()["posts"]}
    for task in tasks:
        [look] = task["looks"]
        there = [post_id for post_id, post in truth.items() if visible_at(post, look["at_ms"])]
        assert look["post_ids"] == there
        assert task["urls"] == [truth[post_id]["url"] for post_id in there]
    assert len(truth) > 4
    assert any(len(post["shown"]) > 1 for post in truth.values())
    time.sleep(0.25)
    last = stage.scrape(scraper_cnt=1000)
    assert last["looks"][0]["post_ids"] == list(truth)
    made = Counter(number for task in [*tasks, last] for number in task["new"])
    assert set(made.values()) == {1}
    assert sorted(made) == sorted(number for post in stage.truth()["posts"] for number in post["video_nos"])
    assert [len(post["video_nos"]) for post in stage.truth()["posts"]] == [1] * len(truth)


def visible_at(post: dict[str, Any], at_ms: int) -> bool:
    return any(
        span["from_ms"] <= at_ms and (span["until_ms"] is None or at_ms < span["until_ms"]) for span in post["shown"]
    )


# Pages without posts


@pytest.mark.parametrize(
    ("kind", "call"), list(product(("private", "gone", "geo", "empty"), ("scraper", "scraper_public")))
)
def test_a_page_that_shows_nothing_is_taken_and_its_task_fails(stage, receiver, kind, call):
    stage.tell(posts=3, kind=kind)
    task = stage.scrape(call, callback_url=receiver.url("k"))
    assert until(lambda: receiver.at("k")) == [{"taskId": task["task_id"], "status": "FAILED"}]
    assert (task["status"], stage.yielded(task), task["hidden"]) == ("FAILED", [], [])
    assert (task["looks"][0]["kind"], task["looks"][0]["post_ids"]) == (kind, [])


def test_a_page_that_becomes_private_keeps_its_videos_and_comes_back(stage):
    posts = stage.tell(posts=3)
    before = stage.scrape()
    stage.tell(kind="private")
    assert stage.scrape()["status"] == "FAILED"
    assert not any(post["visible"] for post in stage.truth()["posts"])
    assert len(stage.sandbox.list(stage.namespace)) == 3
    stage.tell(kind="normal")
    assert stage.scrape()["known"] == before["video_nos"]
    assert [kind["kind"] for kind in stage.truth()["kinds"]] == ["normal", "private", "normal"]
    assert urls(stage.truth()) == posts


def test_a_word_in_the_name_decides_about_a_page_that_nobody_told_of(stage):
    for word in ("private", "gone", "geo", "empty"):
        task = stage.scrape(username=f"https://www.instagram.com/{word}.{stage.number}/")
        assert (task["status"], task["looks"][0]["kind"]) == ("FAILED", word)
    bad = stage.scrape(username=f"https://www.tiktok.com/@bad.{stage.number}")
    assert bad["status"] == "SUCCEEDED"
    assert stage.sandbox.final(bad["video_nos"][0], stage.namespace)["status"] == "FAILED"


# Requests


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["callback", "callback_url", "callBackUri"])
def test_every_spelling_of_the_callback_is_read(stage, receiver, call, name):
    task = stage.scrape(call, scraper_cnt=1, **{name: receiver.url("k")})
    until(lambda: len(receiver.at("k")) == 2)
    assert receiver.at("k") == [
        {"taskId": task["task_id"], "status": "SUCCEEDED"},
        {
            "videoId": task["video_nos"][0],
            "message": "video indexed",
            "taskId": task["task_id"],
            "status": "INDEXING_SUCCEEDED",
        },
    ]


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        ("scraper", {"username": None}),
        ("scraper", {"username": "dock"}),
        ("scraper", {"username": "https://vimeo.com/dock"}),
        ("scraper", {"username": "https://www.tiktok.com/@dock/video/7000000000000000001"}),
        ("scraper", {"username": "https://www.tiktok.com/tag/gates"}),
        ("scraper", {"scraper_cnt": 0}),
        ("scraper", {"scraper_cnt": "many"}),
        ("scraper", {"unique_id": ""}),
        ("scraper", {"callback_url": "http://example.com/" + "x" * 300}),
        ("scraper_tag", {"hash_tags": []}),
        ("scraper_tag", {"hash_tags": "gates"}),
        ("scraper_tag", {"hash_tags": ["#gates"]}),
        ("scraper_tag", {"hash_tags": ["two words"]}),
        ("scraper_tag", {"hash_tags": [""]}),
        ("scraper_tag_public", {"scraper_cnt": -1}),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(stage, call, fields):
    assert stage.ask(call, **fields).json()["code"] == "0001"


def test_all_scraper_calls_share_one_limit(start):
    stage = start("--limits", "scrape=1/h,task_status=off", "--answer", "0")
    assert stage.ask("scraper").json()["code"] == "0000"
    assert [stage.ask(call).json()["code"] for call in CALLS] == ["0429"] * 4
    assert stage.sandbox.post("scraper_url", json={"video_urls": ["https://youtu.be/abcdefghijk"]})["code"] == "0429"
    report = stage.sandbox.report()
    assert len(report["tasks"]) == 1
    assert (report["calls"]["scrape"]["accepted"], len(report["violations"])) == (1, 5)
    assert report["calls"]["scrape"]["batch_sizes"] == []


def test_a_task_is_told_in_its_own_namespace_only(stage):
    stage.tell(posts=1)
    task = stage.scrape()
    assert stage.sandbox.task(task["task_id"], "default")["video_ids"] == []
    assert stage.sandbox.task(task["task_id"], stage.namespace)["video_ids"] == task["video_nos"]


# Faults


@pytest.mark.parametrize("call", CALLS)
def test_a_task_whose_answer_is_lost_has_been_taken(stage, receiver, call):
    stage.sandbox.http.post("/_sandbox/faults", json={"drop_answer": 1})
    with pytest.raises(httpx.TransportError):
        stage.ask(call, scraper_cnt=1, callback=receiver.url("k"))
    assert until(lambda: receiver.at("k"))[0]["status"] == "SUCCEEDED"


def test_spent_credit_refuses_creators_too(start):
    stage = start(*QUICK, "--credit", "1")
    assert [stage.ask(call).json()["code"] for call in CALLS] == ["0000", "0402", "0402", "0402"]


def test_half_a_task_is_brought_by_the_next(stage):
    posts = stage.tell(posts=4)
    stage.sandbox.http.post("/_sandbox/faults", json={"half_task": 1})
    half = stage.scrape()
    assert stage.yielded(half) == posts[::2]
    assert set(posts[1::2]) <= set(stage.sandbox.report()["withheld"])
    stage.sandbox.http.post("/_sandbox/faults", json={})
    whole = stage.scrape()
    assert (stage.yielded(whole), whole["known"]) == (posts, half["video_nos"])
    assert not set(posts) & set(stage.sandbox.report()["withheld"])


def test_a_post_may_never_appear_however_often_its_page_is_scraped(stage):
    posts = stage.tell(posts=2)
    stage.sandbox.http.post("/_sandbox/faults", json={"post_gone": 1})
    assert stage.scrape()["status"] == "FAILED"
    stage.sandbox.http.post("/_sandbox/faults", json={})
    stage.control("posts/add", profile=stage.profile)
    assert len(stage.scrape()["video_nos"]) == 1
    assert set(posts) <= set(stage.sandbox.report()["gone"])


# Controls


@pytest.mark.parametrize(
    ("control", "body"),
    [
        ("profiles", []),
        ("profiles", {}),
        ("profiles", {"url": "https://vimeo.com/dock"}),
        ("profiles", {"url": "https://www.tiktok.com/@wrong", "kind": "lost"}),
        ("profiles", {"url": "https://www.tiktok.com/@wrong", "grow_every": 0}),
        ("posts/add", {"profile": "dock"}),
        ("posts/add", {"profile": "https://www.tiktok.com/@wrong", "count": 0}),
        ("posts/remove", {"post": "https://www.tiktok.com/@wrong/video/1"}),
        ("posts/restore", {"post": 1}),
    ],
)
def test_a_wrong_control_is_answered_http_400_with_a_sentence_and_changes_nothing(stage, control, body):
    answer = stage.sandbox.http.post(f"/_sandbox/{control}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    known = [page["url"] for page in stage.sandbox.http.get("/_sandbox/profiles").json()["profiles"]]
    assert "https://www.tiktok.com/@wrong" not in known


def test_reset_forgets_the_pages(start):
    stage = start(*QUICK)
    stage.tell(posts=2)
    stage.sandbox.http.post("/_sandbox/reset")
    assert stage.sandbox.http.get("/_sandbox/profiles").json() == {"profiles": []}
    assert len(stage.tell(posts=1)) == 1


def test_every_made_up_post_is_one_that_can_be_sent_by_itself(stage):
    for platform in PROFILES:
        page = stage.control("profiles", url=stage.address(platform), posts=30)
        for post in page["posts"]:
            assert recognise(post["url"]) == (platform, post["post_id"])
