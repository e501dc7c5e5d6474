"""The acts of the vendor: taking things in, and what becomes of them later.

A video's fate is decided when it is taken in and shown when its parsing is over. A file decides by itself
(`probe`); without a file the input does (`fates`).
"""

import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from sandbox import callbacks, fates, ids, library
from sandbox.admission import Admission
from sandbox.agenda import Agenda
from sandbox.answers import Refusal
from sandbox.callbacks import Letter, Outbox
from sandbox.captions import Captions
from sandbox.fates import BAD, GONE
from sandbox.faults import Faults
from sandbox.forms import Part
from sandbox.images import Image, Images, Picture
from sandbox.journal import Journal
from sandbox.library import Library, Task, Video
from sandbox.options import MIXED, NAME_SHAPES, Options, Span
from sandbox.pages import Page
from sandbox.posts import Post, recognise
from sandbox.probe import Verdict, picture, probe
from sandbox.world import Look, Published, World, now_ms, stray

#: Bytes of an image (contract B.2 U9), and images of a call: that there is a cap is known, not which.
IMAGE_BYTES, LARGEST_IMAGES = 20_000_000, 50


class Asked(NamedTuple):
    """Where a scraper task puts its videos, and whom it tells."""

    library: str
    unique_id: str
    callback: str | None


class Vendor:
    """One account's state and its clockwork. `agenda.start()` sets it going."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.library = Library()
        self.world = World(options.seed)
        self.journal = Journal()
        self.faults = Faults(options.faults, options.seed)
        self.admission = Admission(options, self.journal, self.faults)
        self.agenda = Agenda()
        self.outbox = Outbox(self.faults, self.agenda, options.callback_delay)
        self._mint = ids.Mint()
        self.images = Images(self._mint)
        self.captions = Captions(options, self.faults, self.agenda, self.outbox, self.draw)
        self._random = Random(options.seed)
        self._fates: dict[Post, bool] = {}  # whether a post is gone, decided when it is first scraped

    def reset(self) -> None:
        """As freshly started, except that ids keep increasing and the set of faults stays."""
        self.agenda.clear()
        self.outbox.forget()
        with self.library.lock:
            self.library.forget()
            self._fates.clear()
        self.world.forget()
        self.images.forget()
        self.captions.forget()
        self.admission.forget()
        self.journal.forget()
        self.faults.forget()

    def draw(self, span: Span) -> float:
        """Seconds between the ends of `span`; `--seed` makes the row of draws repeatable."""
        return self._random.uniform(span.low, span.high)

    def take_file(self, file: Part, unique_id: str, callback: str | None, extras: dict[str, Any]) -> Video:
        """Always accepted; an undecodable file turns FAILED a little later (contract B.2 U1)."""
        verdict = probe(file.spool, self.options.codecs)
        return self._take(
            stem=_stem(fates.file_piece(file.file_name)),
            verdict=verdict,
            file_name=file.file_name,
            sha256=file.spool.sha256,
            unique_id=unique_id,
            callback=callback,
            extras=extras,
        )

    def take_link(self, url: str, unique_id: str, callback: str | None, extras: dict[str, Any]) -> Video:
        """Answered before it is fetched; the same link twice makes two videos (contract B.2 U2)."""
        return self._take(
            stem=_stem(fates.last_piece(url)) or urlsplit(url).netloc,
            verdict=_unseen(url, fates.of_link(url)),
            url=url,
            unique_id=unique_id,
            callback=callback,
            extras=extras,
        )

    def take_images(self, files: list[Part], unique_id: str, extras: dict[str, Any]) -> list[Image]:
        """All of them or none: one bad file refuses the whole call (contract B.2 U9)."""
        if len(files) > LARGEST_IMAGES:
            raise Refusal(f"more than {LARGEST_IMAGES} images in one call")
        for file in files:
            if file.spool.size > IMAGE_BYTES:
                raise Refusal(f"the image '{file.file_name}' is larger than 20 MB")
            if cause := picture(file.spool):
                raise Refusal(f"the image '{file.file_name}': {cause}")
        pictures = [
            Picture(_stem(fates.file_piece(file.file_name)), file.file_name, file.spool.sha256, file.spool.size)
            for file in files
        ]
        return self.images.add(unique_id, pictures, extras)

    def take_posts(self, urls: list[str], asked: Asked) -> Task:
        """A scraper task; `urls` are recognised posts of one platform (contract B.2 U3, U4)."""
        self.journal.batch("scrape", len(urls))
        return self._scrape(urls, [], asked)

    def take_pages(self, pages: Iterable[Page], count: int, asked: Asked) -> Task:
        """A scraper task for the `count` newest posts of each page (contract B.2 U5 to U8).

        The pages are looked at when they are asked for. One that is private, gone, out of reach or empty is accepted
        like any other, since nothing is told per page (B.2 U3, F.4 23); its task yields nothing, so its word is FAILED
        and L3 stays empty (D.2, B.3 L3): the same as for posts that are all gone.
        """
        looks = [self.world.look(page, count) for page in pages]
        urls = dict.fromkeys(published.url for look in looks for published in look.posts)
        return self._scrape(list(urls), looks, asked)

    def gone(self) -> list[str]:
        """Post URLs that were accepted and will never appear."""
        with self.library.lock:
            return [url for task in self.library.tasks.values() for url in task.urls if self._is_gone(url)]

    def report(self, brief: bool) -> dict[str, Any]:
        report = {**self.journal.report(), "callbacks": self.outbox.report(), "gone": self.gone()}
        report["withheld"] = self.library.unbrought(lambda task: task.withheld)
        report["hidden"] = self.library.unbrought(lambda task: task.hidden)
        report["duplicates"] = self.library.duplicates()
        report["faults"] = self.faults.happened()
        report["images_twice"] = self.images.twice()
        report |= self.captions.report(brief)
        if not brief:
            report["images"] = self.images.report()
        with self.library.lock:
            videos, tasks = list(self.library.videos.values()), list(self.library.tasks.values())
            report["counts"] = dict(Counter(video.status for video in videos if not video.deleted))
            report["tasks"] = [_report_task(task) for task in tasks]
            if not brief:
                report["videos"] = [_report_video(video) for video in videos]
        if brief:
            for lane in report["calls"].values():
                del lane["times"]
        return report

    def profiles(self, pages: Iterable[Page] | None, at_ms: int | None) -> list[dict[str, Any]]:
        """The truth about `pages`, or all known ones, with the videos that their posts have."""
        profiles = self.world.report(pages, at_ms)
        posts = {(profile["platform"], post["post_id"]): post for profile in profiles for post in profile["posts"]}
        numbers = self.library.numbers_of({Post(*post) for post in posts})
        for post, told in posts.items():
            told["video_nos"] = numbers.get(Post(*post), [])
        return profiles

    def facts(self, video: Video) -> tuple[Published, int]:
        """The post of a scraped video, and the moment whose counters are told (contract B.3 L6).

        A repeated scrape updates the metadata (seed, on scraped posts), so they are those of the last one; whether
        they move in between is not said (sw: --live-counters).
        """
        assert video.post is not None
        published = self.world.published(video.post) or stray(video.post, video.url or "", video.created_ms)
        return published, now_ms() if self.options.live_counters else video.refreshed_ms

    def _scrape(self, urls: list[str], looks: list[Look], asked: Asked) -> Task:
        """What U3 to U8 share: a task, the fates of its posts, and an appointment for the end of its download."""
        task = Task(ids.new_task_id(), now_ms(), asked.unique_id, asked.library, urls, asked.callback, looks=looks)
        with self.library.lock:
            self._decide_fates(urls)
            task.hidden = [url for url in urls if (post := recognise(url)) and self.world.hidden(post)]
            task.withheld = self._withhold([url for url in urls if url not in task.hidden])
            self.library.tasks[task.task_id] = task
        self.agenda.after(self.draw(self.options.scrape), lambda: self._downloaded(task))
        return task

    def _take(self, stem: str, **given: Any) -> Video:
        """What U1 and U2 share: an id, an entry, and an appointment for the end of parsing."""
        video = self._add(stem, library.PRIVATE, **given)
        if video.callback:
            self._announce(video, video.callback)
        self._parse_later(video)
        return video

    def _announce(self, video: Video, callback: str) -> None:
        """Callbacks that come before parsing is over: by option, or by fault."""
        if self.faults.befalls("callback_early"):
            self.outbox.send_now(Letter("K1", callback, callbacks.k1(video.video_no, library.UNPARSE)))
        elif self.options.early_k1:
            self._tell(callback, "K1", callbacks.k1(video.video_no, library.UNPARSE))
        if self.options.k1_parse_at_start or self.faults.befalls("callback_parse_at_start"):
            self._tell(callback, "K1", callbacks.k1(video.video_no, library.PARSE))

    def _add(self, stem: str, where: str, **given: Any) -> Video:
        shape, lag = self._shape(stem, is_link="url" in given), self.draw(self.options.list_lag)
        with self.library.lock:  # the library is in the order of the ids
            video_no, created_ms = self._mint.new(ids.PRIVATE if where == library.PRIVATE else ids.PUBLIC)
            video = Video(
                video_no=video_no,
                created_ms=created_ms,
                library=where,
                name=shape,
                listed_from=time.monotonic() + lag,
                **given,
            )
            self.library.add(video)
        return video

    def _parse_later(self, video: Video) -> None:
        if self.faults.befalls("stuck"):
            video.stuck = True
            return
        self.agenda.after(self.draw(self.options.parse), lambda: self._parsed(video))

    def _parsed(self, video: Video) -> None:
        """Parsing is over: the verdict shows, and the callbacks of contract E.1 leave."""
        with self.library.lock:
            if self.library.videos.get(video.video_no) is not video or video.deleted:
                return
            video.status = library.PARSE if video.verdict.cause is None else library.FAILED
            tasks, video.awaited_by = video.awaited_by, []
        if video.post is None:
            if video.status == library.FAILED:
                self._tell(video.callback, "K1", callbacks.k1(video.video_no, "FAIL"))
            elif not self.options.k1_parse_at_start:
                self._tell(video.callback, "K1", callbacks.k1(video.video_no, library.PARSE))
        for task in tasks:
            self._indexed(video, task)

    def _downloaded(self, task: Task) -> None:
        """A task's download is over: its posts have videos now, new ones or those they already had."""
        new: list[Video] = []
        with self.library.lock:
            if task.task_id not in self.library.tasks:
                return
            task.ended_ms = now_ms()
            kept_back = _posts(task.withheld + task.hidden)
            for url in task.urls:
                post = recognise(url)
                if post is None or post in kept_back or self._is_gone(url):
                    continue
                video = self.library.of_post(task.library, task.unique_id, post)
                if video is None:
                    video = self._add_post(task, url, post)
                    new.append(video)
                video.refreshed_ms = task.ended_ms
                if video.video_no not in task.video_nos:
                    task.video_nos.append(video.video_no)
                    if not video.parsed:
                        video.awaited_by.append(task)
            task.new_nos = [video.video_no for video in new]
            task.status = library.SUCCEEDED if task.video_nos else library.FAILED
            ready = [self.library.videos[no] for no in task.video_nos if self.library.videos[no].parsed]
        message = None
        if self.options.k2_message:
            message = "task finished" if task.video_nos else "no video could be downloaded"
        self._tell(task.callback, "K2", callbacks.k2(task.task_id, task.status, message))
        for video in ready:
            self._indexed(video, task)
        for video in new:
            self._parse_later(video)

    def _decide_fates(self, urls: list[str]) -> None:
        for post in _posts(urls):
            if post not in self._fates:
                self._fates[post] = self.faults.befalls("post_gone")

    def _withhold(self, urls: list[str]) -> list[str]:
        """Every second post of a task that does half its work; one post has no half."""
        coming = list(_posts(url for url in urls if not self._is_gone(url)).values())
        return coming[1::2] if len(coming) > 1 and self.faults.befalls("half_task") else []

    def _is_gone(self, url: str) -> bool:
        post = recognise(url)
        return bool(GONE.search(url)) or (post is not None and self._fates.get(post, False))

    def _add_post(self, task: Task, url: str, post: Post) -> Video:
        cause = "the post could not be processed" if BAD.search(url) else None
        return self._add(
            f"{post.platform} {post.post_id}",
            task.library,
            verdict=_unseen(url, cause),
            unique_id=task.unique_id,
            url=url,
            post=post,
            task_id=task.task_id,
        )

    def _indexed(self, video: Video, task: Task) -> None:
        """K3 for each video that succeeds; for one that fails no callback is known (contract C.2 K3b)."""
        if self.options.k3 and video.status == library.PARSE:
            self._tell(task.callback, "K3", callbacks.k3(video.video_no, task.task_id))

    def _tell(self, url: str | None, kind: str, body: dict[str, Any]) -> None:
        if url:
            self.outbox.post(Letter(kind, url, body))

    def _shape(self, stem: str, is_link: bool) -> str:
        """How names come back (contract E.3 44; B.3 L1 tells of mangled ones)."""
        shape = self.options.name_shape
        if shape == MIXED:
            shape = self._random.choice(NAME_SHAPES)
        if shape == "hex":
            return secrets.token_hex(16)
        if shape == "mangled":
            encoded = quote(unquote(stem) if is_link else stem, safe="")
            return f"{secrets.token_hex(4)}_{encoded}_{time.time_ns() // 1_000_000}"
        return stem


def _posts(urls: Iterable[str]) -> dict[Post, str]:
    """Each post once, with one of its URLs."""
    return {post: url for url in urls if (post := recognise(url)) is not None}


def _stem(name: str) -> str:
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name


def _unseen(url: str, cause: str | None) -> Verdict:
    """A verdict on something never fetched; size and length are made up from the URL, always the same."""
    digest = hashlib.sha256(url.encode()).digest()
    size = 1_000_000 + int.from_bytes(digest[:4]) % 20_000_000
    if cause is not None:
        return Verdict(cause, size)
    return Verdict(None, size, 5 + digest[4] % 115, 1280, 720, 25)


def _report_video(video: Video) -> dict[str, Any]:
    return {
        "video_no": video.video_no,
        "unique_id": video.unique_id,
        "library": video.library,
        "name": video.name,
        "file_name": video.file_name,
        "sha256": video.sha256,
        "size": video.verdict.size,
        "url": video.url,
        "platform": video.post.platform if video.post else None,
        "post_id": video.post.post_id if video.post else None,
        "status": video.status,
        "cause": video.cause,
        "created_ms": video.created_ms,
        "task_id": video.task_id,
        "extras": video.extras,
        "deleted": video.deleted,
        "stuck": video.stuck,
    }


def _report_task(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "unique_id": task.unique_id,
        "library": task.library,
        "urls": list(task.urls),
        "status": task.status,
        "video_nos": list(task.video_nos),
        "created_ms": task.created_ms,
        "ended_ms": task.ended_ms,
        "looks": [_report_look(look) for look in task.looks],
        "hidden": list(task.hidden),
        "new": list(task.new_nos),
        "known": [video_no for video_no in task.video_nos if video_no not in task.new_nos],
    }


def _report_look(look: Look) -> dict[str, Any]:
    return {
        "url": look.page.url,
        "at_ms": look.at_ms,
        "kind": look.kind,
        "wanted": look.wanted,
        "post_ids": [published.post.post_id for published in look.posts],
    }
