import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ingest.home import default_home, kept_secret, make_private, network_filesystem


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_for_its_owner_alone(tmp_path):
    previous = os.umask(0)
    try:
        kept_secret(tmp_path / "state")
    finally:
        os.umask(previous)
    assert mode(tmp_path / "state" / "secret") == 0o600
    assert mode(tmp_path / "state") == 0o700


def test_a_secret_stays_the_same(tmp_path):
    first = kept_secret(tmp_path)
    assert len(first) >= 40
    assert [kept_secret(tmp_path) for _ in range(3)] == [first] * 3


def test_no_two_installations_and_no_two_uses_share_a_secret(tmp_path):
    made = {kept_secret(tmp_path / "a"), kept_secret(tmp_path / "b")}
    assert len(made) == 2


def test_a_secret_put_there_by_hand_is_used(tmp_path):
    (tmp_path / "secret").write_text("chosen by hand\n")
    assert kept_secret(tmp_path) == "chosen by hand"


def test_only_the_secret_is_left_in_the_folder(tmp_path):
    kept_secret(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.fixture
def hurried():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_first_starts_with_one_process_number_agree(tmp_path, hurried):
    """Threads here, containers that share a folder there: each is number 1 in its own world."""
    crowd, rounds = 4, 100
    here = [0] * rounds
    told: list[list[str]] = [[] for _ in range(rounds)]
    lock = threading.Lock()

    def start() -> None:
        for number in range(rounds):
            with lock:
                here[number] += 1
            while here[number] < crowd:  # at the same moment, closer than a barrier lets them go
                pass
            try:
                told[number].append(kept_secret(tmp_path / str(number)))
            except OSError as error:
                told[number].append(repr(error))

    threads = [threading.Thread(target=start) for _ in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for number, secrets in enumerate(told):
        assert len(secrets) == crowd
        assert set(secrets) == {kept_secret(tmp_path / str(number))}


def test_first_starts_of_several_processes_agree(tmp_path):
    script = (
        "import sys; from pathlib import Path; from ingest.home import kept_secret; sys.stdin.readline();"
        "print(kept_secret(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "state")]
    starts = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for start in starts:
        assert start.stdin is not None
        start.stdin.write("\n")
        start.stdin.flush()
    told = {start.communicate(timeout=20)[0].strip() for start in starts}
    assert told == {kept_secret(tmp_path / "state")}


def test_a_folder_that_is_there_stays_as_it_is(tmp_path):
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "state").chmod(0o755)
    make_private(tmp_path / "state")
    assert mode(tmp_path / "state") == 0o755


def test_the_state_is_kept_in_the_users_data_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_home() == tmp_path / "data" / "memories-ingest"
    monkeypatch.setenv("XDG_DATA_HOME", "")
    assert default_home() == Path.home() / ".local" / "share" / "memories-ingest"


def test_a_folder_var_goes_before_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").mkdir()
    assert default_home().absolute() == tmp_path / "var"


MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/media /mnt/media nfs4 rw 0 0
/dev/vdb /mnt/media/local\\040disk ext4 rw 0 0
share /mnt/share virtiofs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/ingest/ingest.db", None),
        ("/mnt/media/ingest.db", "nfs4"),
        ("/mnt/media/local disk/ingest.db", None),
        ("/mnt/mediathek/ingest.db", None),
        ("/mnt/share/x/ingest.db", "virtiofs"),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(path, kind):
    assert network_filesystem(Path(path), MOUNTS) == kind
