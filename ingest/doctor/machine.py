"""What can be seen on this machine alone: variables, keys, folders, ports, libraries."""

import difflib
import io
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import httpx

from ingest.broker import socket_path
from ingest.doctor.visit import Finding, Visit, fail, ok, together, warn
from ingest.home import network_filesystem
from ingest.processes import claim_of, port_problem
from ingest.settings import SECRETS, ConfigurationError, Settings, load, load_without

_OURS = ("INGEST_", "MEMORIES_")
#: Set by the supervisor for its children, not by people.
_INTERNAL = {"INGEST_READY_FILE"}
_ENV_FILE = Path(".env")
_LOW_DISK, _NO_DISK = 1 << 30, 50 << 20
_GIB = 1 << 30
_SOCKET_LIMIT = 107
#: Platforms change their addresses all the time; yt-dlp follows within weeks, days.
_OLD_YT_DLP = 90


# Configuration


def configuration(visit: Visit) -> Finding:
    # Lines of .env that nobody can read are told here, with what to do.
    logging.getLogger("dotenv.main").setLevel(logging.ERROR)
    findings = []
    try:
        visit.settings = load()
    except ConfigurationError as error:
        findings.append(fail(str(error)))
        visit.wrong = error.variables
        if error.variables:
            visit.settings = load_without(error.variables)
    names, lines = _env_file()
    if lines:
        findings.append(warn(f"{_say_lines(lines)} of .env cannot be read and do nothing; write NAME=value"))
    findings += [warn(sentence) for sentence in unknown_variables({*os.environ, *names, *_secret_files()})]
    return together(findings or [ok(_say_sources(bool(names)))])


def _env_file() -> tuple[set[str], list[int]]:
    """Names that ``.env`` sets, and the numbers of its lines that are none."""
    from dotenv.parser import parse_stream

    try:
        bindings = list(parse_stream(io.StringIO(_ENV_FILE.read_text(encoding="utf-8"))))
    except (OSError, ValueError):
        return set(), []  # not there, or said by load()
    return {one.key for one in bindings if one.key}, [one.original.line for one in bindings if one.error]


def _secret_files() -> set[str]:
    return {path.name.upper() for path in SECRETS.iterdir()} if SECRETS.is_dir() else set()


def _say_lines(numbers: list[int]) -> str:
    return f"line{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _say_sources(env_file: bool) -> str:
    return "read from the environment" + (" and .env" if env_file else "; there is no .env in this folder")


def unknown_variables(names: Iterable[str]) -> list[str]:
    """A sentence for each name that looks like one of ours and is none."""
    known = sorted(str(one.validation_alias) for one in Settings.model_fields.values())
    sentences = []
    for name in sorted({name.upper() for name in names}):
        if name.startswith(_OURS) and name not in known and name not in _INTERNAL:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else "remove it, or see the README for the names"
            sentences.append(f"{name} is none of our variables and does nothing; {hint}")
    return sentences


def key(visit: Visit) -> Finding:
    settings = visit.configured("MEMORIES_API_KEY", "MEMORIES_CAPTION_API_KEY")
    try:
        settings.require_key()
    except ConfigurationError as error:
        return fail(str(error))
    first, second = settings.api_key.get_secret_value(), settings.caption_api_key.get_secret_value()
    given = {"MEMORIES_API_KEY": first, "MEMORIES_CAPTION_API_KEY": second}
    findings = [found for name, value in given.items() if (found := key_looks_wrong(name, value))]
    captions = "captions have a key of their own" if second and second != first else "captions use the same"
    return together([*findings, ok(f"set; {captions}")])


def key_looks_wrong(variable: str, value: str) -> Finding | None:
    """What people paste instead of a key."""
    if value[:1] in "'\"" and value[:1] == value[-1:] and value:
        return fail(
            f"the value of {variable} stands in quotation marks, and they count; take them away (docker's --env-file keeps them)"
        )
    if value.endswith("..."):
        return fail(f"{variable} still is the example of the README; put your own key there")
    return None


def secret(visit: Visit) -> Finding:
    settings = visit.configured("INGEST_SECRET", "INGEST_DATABASE_URL", "INGEST_HOME")
    if settings.secret.get_secret_value():
        return ok("INGEST_SECRET is set")
    if not settings.is_sqlite:
        try:
            settings.signing_secret  # noqa: B018  (raises with the sentence)
        except ConfigurationError as error:
            return fail(str(error))
    kept = settings.home / "secret"
    if not kept.exists():
        return ok("will be made by the first start")
    if not kept.read_text().strip():
        return fail(f"{kept} is empty, so callback tokens could be guessed; delete it, the next start makes another")
    return ok(f"kept in {kept}")


# Folders


def state_folder(visit: Visit) -> Finding:
    settings = visit.configured("INGEST_HOME")
    home = settings.home
    standing = next(path for path in (home, *home.parents) if path.exists())
    if not standing.is_dir():
        return fail(f"{standing} is not a folder; set INGEST_HOME to one you may write to")
    if (problem := cannot_write(standing)) is not None:
        where = f"{home} cannot be made" if standing != home else f"{home} cannot be written to"
        return fail(f"{where}: {problem}; set INGEST_HOME to a folder you may write to")
    free = shutil.disk_usage(standing).free
    findings = [space(free, home), *_network(settings), *_socket(settings)]
    if standing == home:
        findings += _privacy(home)
    return together([ok(f"{home}{'' if standing == home else ' will be made'}"), *findings])


def cannot_write(folder: Path) -> str | None:
    """Tried, because a read-only mount and a full disk do not show in the mode; nothing is left behind."""
    try:
        Path(tempfile.mkdtemp(prefix=".ingest-doctor-", dir=folder)).rmdir()
    except OSError as error:
        return error.strerror or str(error)
    return None


def space(free: int, path: Path) -> Finding:
    said = f"{free / _GIB:.1f} GiB free"
    if free < _NO_DISK:
        return fail(f"only {free >> 20} MiB free for {path}; make room, or set INGEST_HOME to another disk")
    if free < _LOW_DISK:
        return warn(f"only {free >> 20} MiB free for {path}; make room before a large import")
    return ok(said)


def _network(settings: Settings) -> list[Finding]:
    kind = network_filesystem(settings.home)
    if kind is None:
        return []
    if not settings.database_url:
        return [
            fail(
                f"{settings.home} lies on a network file system ({kind}), where SQLite gets corrupted; "
                "put INGEST_HOME on a local disk, or set INGEST_DATABASE_URL to a PostgreSQL"
            )
        ]
    return [warn(f"{settings.home} lies on a network file system ({kind}); a local disk is faster and safer")]


def _socket(settings: Settings) -> list[Finding]:
    """The embedded broker's socket: its path fits into the kernel's field, its folder is ours."""
    if settings.redis_url:
        return []
    path = socket_path(settings.home)
    if len(os.fsencode(path)) > _SOCKET_LIMIT:
        return [fail(f"{path} is too long for a socket; set INGEST_HOME or TMPDIR to a shorter path")]
    folder = path.parent
    if folder.exists() and (folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077):
        return [fail(f"{folder} is not private to you, so the broker will not start in it; remove it and start again")]
    return []


def _privacy(home: Path) -> list[Finding]:
    status = home.stat()
    findings = []
    if status.st_uid != os.getuid():
        findings.append(
            warn(f"{home} belongs to user {status.st_uid}, you are {os.getuid()}: run ingest as the user that owns it")
        )
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        findings.append(warn(f"other users of this machine may look into it (mode {mode:o}); run: chmod 700 {home}"))
    return findings


# Ports


def ports(visit: Visit) -> Finding:
    settings = visit.configured("INGEST_PORT", "INGEST_CONSOLE_PORT", "INGEST_HOST", "INGEST_CONSOLE_HOST")
    if settings.port == settings.console_port and settings.port:
        return fail(
            f"the receiver and the console cannot share port {settings.port}; set INGEST_PORT and INGEST_CONSOLE_PORT apart"
        )
    up = settings.home.is_dir() and claim_of(settings.home).is_held()
    doors = (
        ("receiver", settings.receiver_host, settings.port, "INGEST_PORT"),
        ("console", settings.console_host, settings.console_port, "INGEST_CONSOLE_PORT"),
    )
    return together(_port(*door, up=up, runs=bool(visit.runs)) for door in doors)


def _port(name: str, host: str, port: int, variable: str, *, up: bool, runs: bool) -> Finding:
    problem = port_problem(host, port) if port else None
    if problem is None:
        if up and port:
            return warn(
                f"the service runs, but no {name} on port {port}: was it started with another port, or is it starting?"
            )
        return ok(f"{port} ({name}) is free" if port else f"any port ({name})")
    if not answers_ok(f"http://{_shown(host)}:{port}/healthz"):
        return fail(f"{problem}; choose another with {variable}")
    if up or runs:
        return ok(f"{port} is held by the {name}")
    return fail(f"{problem} by another service like this one, on another state; choose another with {variable}")


def _shown(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def answers_ok(url: str, *, proxies: bool = False) -> bool:
    """A door of ours says that it is well."""
    try:
        with httpx.Client(timeout=4, trust_env=proxies) as client:
            answer = client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return answer.status_code == 200 and answer.text.strip() == "ok"


# Libraries


def video_library(visit: Visit) -> Finding:
    try:
        import av

        from ingest.samples import make_video
    except ImportError as error:
        return fail(f"PyAV cannot be loaded, so no file can be looked at: {error}; install anew with: make install")
    with tempfile.TemporaryDirectory(prefix="ingest-doctor-") as folder:
        sample = make_video(Path(folder) / "sample.mp4", seconds=0.3)
        with av.open(str(sample)) as container:
            found = [stream.codec_context.name for stream in container.streams.video]
    if found != ["h264"]:
        return fail(f"PyAV {av.__version__} cannot read a video that it has just made; install anew with: make install")
    return ok(f"PyAV {av.__version__} makes and reads a video")


def yt_dlp(visit: Visit) -> Finding:
    try:
        from yt_dlp.version import __version__
    except ImportError as error:
        return fail(
            f"yt-dlp cannot be loaded, so posts cannot be told from links: {error}; install anew with: make install"
        )
    return yt_dlp_age(__version__, date.today())


def yt_dlp_age(version: str, today: date) -> Finding:
    match = re.match(r"(\d{4})\.(\d{1,2})\.(\d{1,2})", version)
    if match is None:
        return warn(f"yt-dlp {version}: its age cannot be told from its version")
    days = (today - date(*(int(part) for part in match.groups()))).days
    if days > _OLD_YT_DLP:
        return warn(
            f"yt-dlp {version} is {days} days old, and platforms change their addresses; bring in a newer release of this service"
        )
    return ok(f"yt-dlp {version}, {days} days old" if days >= 0 else f"yt-dlp {version}")
