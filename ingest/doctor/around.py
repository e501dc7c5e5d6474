"""What lies outside: Memories.ai, the clocks of others, and the way back for callbacks."""

import time
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from sqlalchemy import text

from ingest import broker
from ingest.clock import now_ms
from ingest.doctor.machine import answers_ok
from ingest.doctor.visit import Finding, NotChecked, Visit, fail, is_loopback, ok, together, warn
from ingest.durations import say_duration
from ingest.lanes import Lane
from ingest.models import DEFAULT_NAMESPACE
from ingest.pauses import say_trouble
from ingest.quota import NotSoon, Quota, QuotaUnavailable, SlotGate, SlotLost, connect
from ingest.settings import Settings
from ingest.tokens import callback_url, new_short_id
from ingest.upstream.client import CALLBACK_LIMIT, OpenGate, Upstream
from ingest.upstream.errors import AccountTrouble, Refused, TooFast, Unavailable, UpstreamError

#: Leases, schedules and candidates bear less than this, seconds.
_CLOCKS_APART = 5.0
#: A slot or an answer that takes longer is no matter of a look, seconds.
_ASK_SECONDS, _SLOT_SECONDS = 8.0, 5.0


# Memories.ai


def upstream(visit: Visit) -> Finding:
    """One question, for one video of the list, under the limit of its lane."""
    settings = visit.configured("MEMORIES_API_URL", "MEMORIES_API_KEY", "INGEST_LIMITS")
    if not settings.account.key:
        raise NotChecked("there is no key to ask with")
    if visit.redis is None and visit.runs is not False:
        raise NotChecked("without Redis no call is made while a service may run")
    vendor = Upstream(settings.api_url, settings.account.key, silence=_ASK_SECONDS)
    try:
        _ask(visit, settings, vendor)
    except NotSoon as wait:
        return warn(f"not asked: the next call for a list is allowed in {say_duration(wait.seconds)}; try again then")
    except (QuotaUnavailable, SlotLost) as error:
        return warn(f"not asked: {error}")
    except UpstreamError as error:
        return upstream_says(error, settings.api_url)
    finally:
        vendor.close()
        if vendor.ahead is not None:
            # Against this host: with PostgreSQL our own times go by its clock.
            visit.clocks["Memories.ai"] = vendor.ahead + now_ms() / 1000 - time.time()
    if settings.api_url.startswith("http://") and not is_loopback(settings.api_url):
        return warn(f"{settings.api_url} accepts the key, but it travels unencrypted; use https://")
    return ok(f"{settings.api_url} accepts the key")


def _ask(visit: Visit, settings: Settings, vendor: Upstream) -> None:
    if visit.redis is None:
        # No broker and no service: nobody else sends from here, so one call cannot be one too many.
        vendor.list_videos(DEFAULT_NAMESPACE, 1, OpenGate(), size=1)
        return
    quota = Quota(connect(broker.redis_url(settings)), settings.limits)
    with quota.line(settings.account, Lane.LIST) as place:
        place.near(0.2, at_most=_SLOT_SECONDS)
        vendor.list_videos(DEFAULT_NAMESPACE, 1, SlotGate(place), size=1)


def upstream_says(error: UpstreamError, url: str) -> Finding:
    """What an answer that is none means for an import."""
    hint = "is MEMORIES_API_URL right?"
    message = error.message if hint in error.message else f"{error.message.rstrip('.;')}; {hint}"
    if isinstance(error, AccountTrouble):
        return fail(say_trouble(error))
    if isinstance(error, TooFast):
        return warn(f"{url} answers, but says too fast ({error.message}); does something else use this key?")
    if isinstance(error, Refused) and not error.code.startswith("http_"):
        return warn(f"{url} accepts the key, but refuses to list videos ({error.code}: {error.message})")
    if isinstance(error, Unavailable):
        if error.code == "0001" and "no static resource" not in error.message.lower():
            return warn(f"{url} has a fault of its own at the moment ({error.message}); try again")
        if error.code == "unreachable":
            return fail(f"{error.message}; check the network, a proxy (HTTPS_PROXY), and MEMORIES_API_URL")
    return fail(f"{url} does not answer like Memories.ai: {message}")


# Clocks


def clock(visit: Visit) -> Finding:
    clocks = visit.clocks
    if visit.redis is not None:
        asked = time.time()
        seconds, micros = visit.redis.time()
        clocks["Redis"] = seconds + micros / 1e6 - (asked + time.time()) / 2
    if visit.database is not None and not visit.database.is_sqlite:
        with visit.database.read() as session:
            asked = time.time()
            theirs = session.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
            clocks["PostgreSQL"] = float(theirs) - (asked + time.time()) / 2
    if not clocks:
        raise NotChecked("nobody with another clock answers")
    return clocks_say(clocks)


def clocks_say(ahead: Mapping[str, float]) -> Finding:
    apart = [
        f"{say_duration(abs(seconds))} {'behind' if seconds > 0 else 'ahead of'} {owner}"
        for owner, seconds in ahead.items()
        if abs(seconds) > _CLOCKS_APART
    ]
    if apart:
        return warn(f"this machine's clock is {' and '.join(apart)}; leases and schedules go by it: set it by NTP")
    return ok(f"within {_CLOCKS_APART:.0f} s of {' and '.join(ahead)}")


# The way back


def public_address(visit: Visit) -> Finding:
    settings = visit.configured("INGEST_PUBLIC_URL", "MEMORIES_API_URL")
    url = settings.public_url
    if not url:
        return ok("INGEST_PUBLIC_URL is not set: no callbacks, questions go on a schedule; only video captions need it")
    return together([*address_looks_wrong(url, settings.api_url), _reached(visit, url)])


def address_looks_wrong(url: str, api_url: str) -> list[Finding]:
    findings = []
    host = urlsplit(url).hostname or ""
    if not is_loopback(api_url) and (is_loopback(url) or _is_private(host)):
        findings.append(
            warn(f"Memories.ai cannot reach {host} from outside; INGEST_PUBLIC_URL must be an address of the internet")
        )
    elif url.startswith("http://") and not is_loopback(url) and not is_loopback(api_url):
        findings.append(warn(f"{url} is not encrypted, and callback tokens travel in it; use https://"))
    longest = len(callback_url(url, "any secret", "scraper", new_short_id()) or "")
    if longest > CALLBACK_LIMIT:
        findings.append(
            warn(
                f"INGEST_PUBLIC_URL is {longest - CALLBACK_LIMIT} characters too long: Memories.ai keeps {CALLBACK_LIMIT} of a "
                "callback address, so none is sent"
            )
        )
    return findings


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def _reached(visit: Visit, url: str) -> Finding:
    if visit.runs is False:
        return ok(f"{url} is tried when a service runs")
    if answers_ok(f"{url}/healthz", proxies=not is_loopback(url)):
        return ok(f"{url} reaches the receiver")
    return warn(
        f"{url}/healthz does not answer 200 'ok' from here; unless the world reaches it all the same, look at the reverse proxy"
    )
