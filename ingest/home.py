"""The state folder: SQLite file, embedded broker, logs, secret. ``INGEST_HOME``, else ``./var``, else the user's data folder."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

DEFAULT_FOLDER = Path("var")


def default_home() -> Path:
    """``./var`` if it exists, else ``$XDG_DATA_HOME/memories-ingest``."""
    if DEFAULT_FOLDER.is_dir():
        return DEFAULT_FOLDER
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "memories-ingest"


def make_private(folder: Path) -> Path:
    """The folder, made for its owner alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise NoHome(
            f"The folder {folder} cannot be made: {error.strerror}; set INGEST_HOME to one you may write to"
        ) from None
    return folder


class NoHome(Exception):
    """The state folder cannot be had; a sentence."""


#: SQLite's write-ahead log needs shared memory and locks that these do not give; it would be corrupted in the end.
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "fuse.sshfs", "afs", "ceph", "glusterfs"}
)


def network_filesystem(path: Path, mounts: str | None = None) -> str | None:
    """The type of the network file system that ``path`` lies on, or None. Linux tells; elsewhere nobody is asked."""
    table = Path("/proc/self/mounts")
    if mounts is None:
        mounts = table.read_text() if table.exists() else ""
    best, kind = -1, ""
    for line in mounts.splitlines():
        _device, where, found, *_ = line.split(" ")
        point = where.encode().decode("unicode_escape")  # blanks are written \\040
        if path.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), found
    return kind if kind in _NETWORK else None


def kept_secret(home: Path) -> str:
    """What signs callback tokens, made on first use."""
    return _kept(home, "secret")


def _kept(home: Path, name: str) -> str:
    """A random text in a file for its owner alone. Two first starts at once agree on one."""
    path = make_private(home) / name
    if not path.exists():
        # Not the process number alone: containers that share the folder have the same ones.
        draft = home / f"{name}.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
        # A link fails if the other start was faster, and never leaves half a secret.
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text().strip()
