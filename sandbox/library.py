"""What an account holds: videos and scraper tasks, by namespace (contract A.7)."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sandbox.posts import Post, recognise
from sandbox.probe import Verdict
from sandbox.world import Look

DEFAULT_NAMESPACE = "default"
PRIVATE, PUBLIC = "private", "public"

# Words of a query answer (contract D.1)
UNPARSE = "UNPARSE"  # accepted; waiting or running, there is no separate word
PARSE = "PARSE"  # ready, final
FAILED = "FAILED"  # will not become ready, final

RUNNING, SUCCEEDED = "RUNNING", "SUCCEEDED"  # of a task; RUNNING is ours, the vendor shows no word for it


@dataclass(slots=True)
class Video:
    video_no: str
    created_ms: int
    unique_id: str
    library: str
    name: str  # as answered, see --name-shape
    verdict: Verdict  # known from the start, shown when parsing is over
    file_name: str | None = None  # as sent
    sha256: str | None = None
    url: str | None = None
    post: Post | None = None
    task_id: str | None = None
    callback: str | None = None
    extras: dict[str, Any] = field(default_factory=dict)  # tags, camera_model, ... as sent
    status: str = UNPARSE
    deleted: bool = False
    stuck: bool = False  # its parsing never ends
    listed_from: float = 0.0  # monotonic; absent from list and metadata before
    refreshed_ms: int = 0  # when a task last brought its post, which renews the metadata
    awaited_by: list["Task"] = field(default_factory=list)  # tasks to be told when it is indexed

    @property
    def parsed(self) -> bool:
        return self.status != UNPARSE

    @property
    def cause(self) -> str | None:
        return self.verdict.cause if self.status == FAILED else None

    @property
    def private(self) -> bool:
        return self.library == PRIVATE


@dataclass(slots=True)
class Task:
    task_id: str
    created_ms: int
    unique_id: str
    library: str
    urls: list[str]
    callback: str | None = None
    status: str = RUNNING
    video_nos: list[str] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)  # urls whose posts it keeps back, though they exist
    hidden: list[str] = field(default_factory=list)  # urls whose posts nobody could see when it was asked for
    looks: list[Look] = field(default_factory=list)  # what it saw of each page, when pages were asked for
    new_nos: list[str] = field(default_factory=list)  # of `video_nos`: those that it brought first
    ended_ms: int | None = None


class Library:
    """All state of the account. `lock` guards every read and change; queries answer newest first."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.videos: dict[str, Video] = {}  # by id, oldest first
        self.tasks: dict[str, Task] = {}
        self._posts: dict[tuple[str, str, Post], Video] = {}  # (library, unique_id, post) -> its video

    def forget(self) -> None:
        with self.lock:
            self.videos.clear()
            self.tasks.clear()
            self._posts.clear()

    def add(self, video: Video) -> None:
        with self.lock:
            self.videos[video.video_no] = video
            if video.post is not None:
                self._posts[video.library, video.unique_id, video.post] = video

    def of_post(self, library: str, unique_id: str, post: Post) -> Video | None:
        """The video a post already has in this library and namespace."""
        return self._posts.get((library, unique_id, post))

    def find(self, video_no: str, library: str, unique_id: str | None = None) -> Video | None:
        """A listed, undeleted video; None for an unknown or foreign id (contract A.5)."""
        with self.lock:
            video = self.videos.get(video_no)
            if video is None or not _listed(video) or video.library != library:
                return None
            return video if unique_id in (None, video.unique_id) else None

    def private_videos(self, unique_id: str, keep: Iterable[Callable[[Video], bool]]) -> list[Video]:
        """The namespace's private videos that pass every test of `keep`, newest first."""
        tests = list(keep)
        with self.lock:
            return [
                video
                for video in reversed(self.videos.values())
                if video.private
                and video.unique_id == unique_id
                and _listed(video)
                and all(test(video) for test in tests)
            ]

    def videos_of_task(self, task_id: str, unique_id: str) -> list[Video]:
        """Empty while downloading, for an unknown task and for a foreign namespace (contract B.3 L3)."""
        with self.lock:
            task = self.tasks.get(task_id)
            if task is None or (task.library == PRIVATE and task.unique_id != unique_id):
                return []
            found = (self.videos[video_no] for video_no in task.video_nos)
            return [video for video in found if not video.deleted]

    def delete(self, video_nos: Iterable[str], unique_id: str) -> None:
        """Unknown, foreign and public ids are passed over (contract B.3 L2)."""
        with self.lock:
            for video_no in video_nos:
                video = self.find(video_no, PRIVATE, unique_id)
                if video is not None:
                    video.deleted = True
                    if video.post is not None:
                        self._posts.pop((video.library, video.unique_id, video.post), None)

    def unbrought(self, kept: Callable[[Task], list[str]]) -> list[str]:
        """URLs of posts that a task kept back, by `kept`, and that no task has brought; one for each post."""
        with self.lock:
            brought = {(video.library, video.unique_id, video.post) for video in self.videos.values()}
            missing = {
                (task.library, task.unique_id, recognise(url)): url
                for task in self.tasks.values()
                for url in kept(task)
            }
        return [url for post, url in missing.items() if post not in brought]

    def numbers_of(self, posts: set[Post]) -> dict[Post, list[str]]:
        """The ids of the videos that each of `posts` has, in all libraries and namespaces."""
        found: dict[Post, list[str]] = {}
        with self.lock:
            for video in self.videos.values():
                if video.post in posts and not video.deleted:
                    found.setdefault(video.post, []).append(video.video_no)
        return found

    def duplicates(self) -> list[dict[str, Any]]:
        """Bytes or links that one namespace accepted more than once; repeated posts are none."""
        seen: dict[tuple[str, str, str, str], list[str]] = {}
        with self.lock:
            for video in self.videos.values():
                if video.deleted or video.post is not None:
                    continue
                what, value = ("sha256", video.sha256) if video.sha256 else ("url", video.url)
                seen.setdefault((video.unique_id, video.library, what, value or ""), []).append(video.video_no)
        return [
            {"unique_id": unique_id, "library": library, "what": what, "value": value, "video_nos": nos}
            for (unique_id, library, what, value), nos in seen.items()
            if len(nos) > 1
        ]


def _listed(video: Video) -> bool:
    return not video.deleted and time.monotonic() >= video.listed_from
