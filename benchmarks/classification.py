"""Do we read addresses as yt-dlp does? Judged on the addresses it tests its own extractors of three platforms with.

    python -m benchmarks.classification            # per cent, then each reason to differ
    python -m benchmarks.classification --all      # ... with every address

Both sides say platform, kind and id of each address. ``posts.recognise`` itself asks yt-dlp's patterns, so for posts
agreement is no surprise; ``profiles.recognise`` does not. A second count needs no pattern at all: the ids that yt-dlp's
tests expect to be told by the platform.
"""

import argparse
import importlib
import pkgutil
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

from ingest.sources import posts, profiles
from ingest.sources.posts import INSTAGRAM, TIKTOK, YOUTUBE

_PLATFORMS = (TIKTOK, YOUTUBE, INSTAGRAM)
POST, PROFILE, CHANNEL, PLAYLIST, TAG, OTHER = "post", "profile", "channel", "playlist", "tag", "other"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Pages that are neither posts nor to be followed are ``other`` and have no id."""

    #: None: no address of a platform at all.
    platform: str | None
    kind: str
    id: str | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.platform or "no platform", self.kind, self.id)))


@dataclass(frozen=True, slots=True)
class Case:
    url: str
    theirs: Verdict
    ours: Verdict
    #: The id that yt-dlp's test expects the platform to tell, where it says one.
    told: str | None = None

    @property
    def agrees(self) -> bool:
        return self.theirs == self.ours


@dataclass(frozen=True, slots=True)
class Reason:
    """A disagreement that we stand by. Kept narrow: what it names of each side must hold, else it explains nothing."""

    why: str
    address: str
    theirs: tuple[str, ...]
    #: Our platform and kind.
    ours: tuple[str | None, str]

    def explains(self, case: Case) -> bool:
        return (
            re.match(self.address, case.url) is not None
            and case.theirs.kind in self.theirs
            and (case.ours.platform, case.ours.kind) == self.ours
        )


_HTTP = r"https?://(?:[\w-]+\.)?"
#: The first that fits explains. By pattern, never by address: yt-dlp's tests are not copied.
REASONS = (
    Reason(
        "a search, feed or user in yt-dlp's own spelling: no address, Memories.ai cannot be sent it",
        r":yt\w+$|ytsearch\d*:|ytuser:|tiktokuser:",
        (OTHER, PROFILE, CHANNEL),
        (None, OTHER),
    ),
    Reason(
        "a bare id without an address: for us a word without :// is the path of a file",
        r"[\w-]+$",
        (POST, PLAYLIST),
        (None, OTHER),
    ),
    Reason("an address without its scheme: for us a path of a file", r"//[\w.]+/", (POST,), (None, OTHER)),
    Reason("an address for Instagram's app, not for the web", r"instagram://", (POST,), (None, OTHER)),
    Reason(
        "a video opened within a list: the video is meant, as with `ingest add`; `creators` names the list's own address",
        rf"{_HTTP}(?:youtube(?:kids)?\.com/(?:watch\?.*\bv=|embed/(?!videoseries))|youtu\.be/).*",
        (PLAYLIST,),
        (YOUTUBE, POST),
    ),
    Reason(
        "a hashtag: Memories.ai takes those of TikTok alone (contract B.2 U7)",
        rf"{_HTTP}youtube\.com/hashtag/",
        (TAG,),
        (YOUTUBE, OTHER),
    ),
    Reason(
        "a hashtag: Memories.ai takes those of TikTok alone (contract B.2 U7)",
        rf"{_HTTP}instagram\.com/explore/tags/",
        (TAG,),
        (INSTAGRAM, OTHER),
    ),
    Reason(
        "a first word that is YouTube's own page today: whose channel it once named is not certain",
        rf"{_HTTP}youtube\.com/news$",
        (CHANNEL,),
        (YOUTUBE, OTHER),
    ),
    Reason(
        "Douyin is another platform than TikTok, which Memories.ai does not take",
        rf"{_HTTP}douyin\.com/",
        (POST,),
        ("douyin", OTHER),
    ),
    Reason(
        "a mirror of YouTube: Memories.ai takes addresses of the platform itself",
        r"https?://(?!(?:[\w-]+\.)*(?:youtube(?:-nocookie|kids)?\.com|youtu\.be)/)",
        (POST, CHANNEL, PLAYLIST),
        ("mirror", OTHER),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every address, agreed or not")
    everything = parser.parse_args().all
    cases = compare()
    print("\n".join(report(cases, everything=everything)))
    sys.exit(bool(unexplained(cases) or outlived(cases)))


def compare() -> list[Case]:
    return [Case(url, as_yt_dlp_reads(url), as_we_read(url), told) for url, told in tests_of_yt_dlp()]


def tests_of_yt_dlp() -> Iterator[tuple[str, str | None]]:
    """Each address of its tests once, with the id that is expected of the platform."""
    seen: dict[str, str | None] = {}
    for extractor in _tested_extractors():
        for test in extractor.get_testcases(include_onlymatching=True):
            told = (test.get("info_dict") or {}).get("id")
            seen[test["url"]] = seen.get(test["url"]) or told
    yield from seen.items()


def _tested_extractors() -> Iterator[Any]:
    # The lazy extractors that yt-dlp's own list holds carry no tests.
    for module in _modules("tiktok", "youtube", "instagram"):
        for name, extractor in sorted(vars(module).items()):
            if name.endswith("IE") and extractor.__module__ == module.__name__:
                yield extractor


def _modules(*names: str) -> Iterator[ModuleType]:
    for name in names:
        module = importlib.import_module(f"yt_dlp.extractor.{name}")
        yield module
        for part in pkgutil.iter_modules(getattr(module, "__path__", ())):
            yield importlib.import_module(f"{module.__name__}.{part.name}") if not part.ispkg else module


@cache
def _extractors() -> tuple[Any, ...]:
    from yt_dlp.extractor import gen_extractor_classes

    return tuple(gen_extractor_classes())


#: Classes whose kind is certain by their name; those not listed are pages of another kind.
_KINDS = {
    "TikTok": POST,
    "Douyin": POST,
    "Instagram": POST,
    "InstagramIOS": POST,
    "Youtube": POST,
    "TikTokUser": PROFILE,
    "InstagramUser": PROFILE,
    "TikTokTag": TAG,
    "InstagramTag": TAG,
    "YoutubePlaylist": PLAYLIST,
    "YoutubeYtUser": CHANNEL,
}


def as_yt_dlp_reads(url: str) -> Verdict:
    """By the class that it hands the address to, and the groups of that class's pattern."""
    taker = next(extractor for extractor in _extractors() if extractor.suitable(url))
    taker = getattr(taker, "real_class", taker)  # the lazy stand-in of a class may read another id
    name = taker.ie_key()
    platform = next((known for known in _PLATFORMS if name.lower().startswith(known)), name.lower())
    if name == "YoutubeTab":
        return _tab(taker._match_valid_url(url).groupdict(), unquote(urlsplit(url).path))
    if name == "YoutubeYtBe":  # its pattern asks for a list
        return Verdict(platform, PLAYLIST, taker._match_valid_url(url)["playlist_id"])
    kind = _KINDS.get(name, OTHER)
    if kind == OTHER:
        return Verdict(platform, OTHER)
    return Verdict(platform, kind, _as_written(platform, kind, unquote(taker.get_temp_id(url))))


def _as_written(platform: str, kind: str, name: str) -> str:
    """TikTok's own names begin with @; yt-dlp leaves it out."""
    return f"@{name}" if (platform, kind) == (TIKTOK, PROFILE) else name


def _tab(groups: dict[str, str | None], path: str) -> Verdict:
    name = unquote(groups["id"] or "")
    match groups["channel_type"], groups["not_channel"]:
        case None, None:
            return Verdict(YOUTUBE, CHANNEL, name)
        case "c" | "user" as space, _:
            return Verdict(YOUTUBE, CHANNEL, f"{space}/{name}")
        case (("channel" | "browse"), _) if name.startswith("UC"):
            return Verdict(YOUTUBE, CHANNEL, name)
        case "browse", _ if name.startswith("VL"):  # the extractor goes on to the playlist of that id
            return Verdict(YOUTUBE, PLAYLIST, name[2:])
        case None, "hashtag/":
            return Verdict(YOUTUBE, TAG, name)
    return Verdict(YOUTUBE, PLAYLIST, name) if path in ("/playlist", "/watch") else Verdict(YOUTUBE, OTHER)


def as_we_read(url: str) -> Verdict:
    profile, found = profiles.recognise(url), posts.recognise(url)
    match found:
        case posts.Post(platform, post_id):
            return Verdict(platform, POST if profile is None else "post and profile at once", post_id)
        case _ if profile is not None:
            return Verdict(profile.platform, profile.kind, profile.handle)
        case None:
            return Verdict(None, OTHER)
        case posts.OtherPlatform(name):
            return Verdict("mirror" if "mirror" in name else name.lower(), OTHER)
        case page:
            return Verdict(page.platform, OTHER)


def reason_of(case: Case) -> Reason | None:
    return next((reason for reason in REASONS if reason.explains(case)), None)


def unexplained(cases: Iterable[Case]) -> list[Case]:
    return [case for case in cases if not case.agrees and reason_of(case) is None]


def outlived(cases: Iterable[Case]) -> list[Reason]:
    """Reasons that explain nothing any more."""
    used = {reason_of(case) for case in cases if not case.agrees}
    return [reason for reason in REASONS if reason not in used]


def told_otherwise(cases: Iterable[Case]) -> tuple[list[Case], int]:
    """Posts and playlists whose id is not the one that the platform told, and of how many it told one."""
    told = [case for case in cases if case.told and case.ours.kind in (POST, PLAYLIST)]
    return [case for case in told if case.ours.id != case.told], len(told)


def report(cases: list[Case], *, everything: bool = False) -> Iterator[str]:
    yield _share("all addresses of yt-dlp's tests", cases)
    for platform in sorted({str(case.theirs.platform) for case in cases}):
        yield _share(f"  {platform}", [case for case in cases if case.theirs.platform == platform])
    yield _share("addresses of the three platforms alone", [case for case in cases if _is_on_platform(case.url)])
    for kind in sorted({case.theirs.kind for case in cases}):
        of_kind = [case for case in cases if case.theirs.kind == kind and _is_on_platform(case.url)]
        yield _share(f"  {kind}", of_kind)
    others, told = told_otherwise(cases)
    yield f"\nposts and playlists whose id is the one the platform told: {told - len(others)} of {told}"
    yield from (f"  {case.url}\n      told: {case.told}; ours: {case.ours}" for case in others)
    yield from _differences(cases)
    yield from (f"\nexplains nothing any more: {reason.why} ({reason.address})" for reason in outlived(cases))
    if everything:
        yield from ("", *(f"{'=' if case.agrees else '!'} {case.url}  {case.ours}" for case in cases))


def _share(title: str, cases: list[Case]) -> str:
    agreed = sum(case.agrees for case in cases)
    return f"{title:<42} {agreed:>4} of {len(cases):>4}" + (f"  {agreed / len(cases):6.1%}" if cases else "")


def _is_on_platform(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and posts.platform_of_host(parts.hostname or "") is not None


def _differences(cases: list[Case]) -> Iterator[str]:
    counted = Counter(reason_of(case) for case in cases if not case.agrees)
    for reason in (*REASONS, None):
        if counted[reason]:
            yield f"\n{counted[reason]} x {reason.why if reason else 'NOT EXPLAINED'}"
            yield from (_difference(case) for case in cases if not case.agrees and reason_of(case) == reason)


def _difference(case: Case) -> str:
    return f"  {case.url}\n      yt-dlp: {case.theirs}; ours: {case.ours}"


if __name__ == "__main__":
    main()
