"""What it means that yt-dlp could not list a profile, read from its error.

The texts are those of the extractors of yt-dlp and of the platforms that they quote. Whatever is not known for certain
is ``temporary``: a profile that is wrongly called gone is lost, one that is wrongly asked again costs a call.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal

from ingest.sources.files import visible
from ingest.sources.posts import NAMES, YOUTUBE
from ingest.sources.profiles import Profile

Kind = Literal["private", "removed", "geo", "members", "age", "login", "unsupported", "temporary"]


class Trouble(Exception):
    """Why a profile could not be listed, or not to its end; ``str()`` is a sentence for a person."""

    def __init__(self, kind: Kind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind: Kind = kind

    @property
    def permanent(self) -> bool:
        """Another try in a while brings the same: look again after days, not minutes."""
        return self.kind != "temporary"


_HAPPENED: dict[Kind, str] = {
    "private": "is private",
    "removed": "is not there (any more)",
    "geo": "is not shown in the country of this machine",
    "members": "is shown to members only",
    "age": "is shown only to people who prove their age",
    "login": "is shown only to people who are logged in",
    "unsupported": "cannot be listed by yt-dlp",
    "temporary": "could not be listed",
}

#: The first that fits. What blames this machine or this moment stands before what blames the profile: "sign in to confirm
#: you're not a bot" is no matter of a login.
_SAID: dict[Kind, str] = {
    "temporary": r"not a (ro)?bot|captcha|unusual traffic|rate.?limit|too many requests|try again later|your IP address",
    "members": r"members.only|channel's members|join this channel|premium members",
    "age": r"age.restrict|confirm your age|inappropriate for some users|comfortable for some audiences",
    "geo": r"available (in|from) your (country|region|location)|blocked it in your country|geo.?restrict",
    "private": r"\bprivate\b",
    "removed": r"(does not|doesn.t|do not) exist|terminated|(was|been) (removed|deleted)|channel is not available",
    "login": r"\blog(ged)?.?in\b|\bsign in\b|requir\w+ login|registered users|account cookies",
}
#: What yt-dlp adds for its own users.
_HINT = re.compile(
    r"[.;,]?\s*(use --|please report this issue|log into an account|if you are able to|see  ?https).*", re.I | re.S
)
_FAILED_CALL = re.compile(r"HTTP Error|Unable to download")
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


def trouble_of(error: BaseException, profile: Profile, *, began: bool = False, before: Sequence[str] = ()) -> Trouble:
    """``began``: posts of it were listed already, so it is there. ``before``: what yt-dlp warned of on the way."""
    from yt_dlp.networking.exceptions import HTTPError, RequestError
    from yt_dlp.utils import ExtractorError, GeoRestrictedError, UnsupportedError, UserNotLive

    cause = (getattr(error, "cause", None) if isinstance(error, ExtractorError) else None) or error
    said = getattr(error, "orig_msg", None) or str(error)
    if isinstance(error, GeoRestrictedError):
        return trouble("geo", profile, said)
    if isinstance(error, UnsupportedError):
        return trouble("unsupported", profile, said)
    if isinstance(cause, HTTPError):
        return _of_status(cause.status, profile, said, began)
    if isinstance(cause, RequestError | OSError):
        return trouble("temporary", profile, f"the network failed ({cause})")
    if not isinstance(error, ExtractorError):
        return trouble("temporary", profile, f"yt-dlp cannot read the page, it may need an update ({error!r})")
    # Texts that yt-dlp did not foresee may hold anything, the name of the profile too.
    foreseen = error.expected and not isinstance(error, UserNotLive)
    kind = kind_of(said) if foreseen else "temporary"
    return trouble(kind, profile, _with_cause(said, before) if kind == "temporary" else said)


def kind_of(said: str) -> Kind:
    return next((kind for kind, pattern in _SAID.items() if re.search(pattern, said, re.IGNORECASE)), "temporary")


def _with_cause(said: str, before: Sequence[str]) -> str:
    """yt-dlp goes on after some calls that failed, and stumbles later over what they would have told."""
    failed = [warning for warning in before if _FAILED_CALL.search(warning)]
    return f"{_HINT.sub('', said)} (before that: {failed[-1]})" if failed else said


def _of_status(status: int, profile: Profile, said: str, began: bool) -> Trouble:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return trouble("temporary", profile, f"{NAMES[profile.platform]} wants fewer calls (HTTP 429)")
    if status == HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS:
        return trouble("geo", profile, said)
    # Only YouTube answers so for what is not there, and in the midst of a list it does so for no reason (yt-dlp#507).
    if status in _GONE and profile.platform == YOUTUBE and not began:
        return trouble("removed", profile, said)
    return trouble("temporary", profile, said)


def trouble(kind: Kind, profile: Profile, said: str) -> Trouble:
    why = visible(" ".join(_HINT.sub("", said).split())).rstrip(". ")[:300]
    return Trouble(kind, f"{profile.handle} on {NAMES[profile.platform]} {_HAPPENED[kind]}: {why}.")
