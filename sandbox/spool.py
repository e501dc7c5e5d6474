"""The bytes of an upload on their way through: kept in a nameless temporary file, hashed as they come.

The file has no name, so nothing is left behind whatever ends the process.
"""

import hashlib
import tempfile
from typing import IO

_BUFFER = 256 * 1024


class Spool:
    """Enough of a binary file for werkzeug's form parser to write to and for PyAV to read from."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="sandbox-", buffering=_BUFFER)  # noqa: SIM115
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
