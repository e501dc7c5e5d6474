"""Linux fanotify: be asked before a file is opened, and know by whom. Root only. With it a file can kill whoever opens it."""

import ctypes
import os
import select
import signal
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLASS_CONTENT, _CLOEXEC, _MARK_ADD, _OPEN_PERM, _ALLOW = 0x4, 0x1, 0x1, 0x10000, 0x1
_AT_FDCWD = -100
#: event_len u32, version u8, reserved u8, metadata_len u16, mask u64, fd s32, pid s32
_EVENT = struct.Struct("=IBBHQii")


class NotPermitted(Exception):
    """This system does not let us watch opens."""


@contextmanager
def deadly(path: Path) -> Iterator[list[str]]:
    """Whoever opens ``path`` meanwhile dies by SIGKILL, before it reads a byte; the list holds their names."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.fanotify_init(_CLASS_CONTENT | _CLOEXEC, os.O_RDONLY)
    if watch < 0:
        raise NotPermitted(os.strerror(ctypes.get_errno()))
    if libc.fanotify_mark(watch, _MARK_ADD, ctypes.c_uint64(_OPEN_PERM), _AT_FDCWD, os.fsencode(path)) < 0:
        os.close(watch)
        raise NotPermitted(os.strerror(ctypes.get_errno()))
    victims: list[str] = []
    end_read, end_write = os.pipe()

    def run() -> None:
        while True:
            ready, _, _ = select.select([watch, end_read], [], [])
            if end_read in ready:
                return
            data = os.read(watch, 4096)
            while data:
                length, _, _, _, _, opened, pid = _EVENT.unpack_from(data)
                data = data[length:]
                if pid != os.getpid():
                    victims.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip())
                    os.kill(pid, signal.SIGKILL)
                os.write(watch, struct.pack("=iI", opened, _ALLOW))
                os.close(opened)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield victims
    finally:
        os.write(end_write, b"x")
        thread.join()
        for descriptor in (watch, end_read, end_write):
            os.close(descriptor)
