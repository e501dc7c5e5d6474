"""What holds for the files of the project themselves."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from ingest.cli.app import app
from ingest.settings import Settings
from webhooks.settings import ReceiverSettings

ROOT = Path(__file__).parent.parent.parent

# Put together here, so that this file does not find itself.
REGISTRY = re.compile(r"files\.python" + r"hosted|pypi\." + r"org/simple|(?<!emit-)index" + r"-url|\bextra-index")
MACHINE = re.compile(r"(?<![\w.}])/(?:work|root|Users|home/\w+)" + "/")

VARIABLES = sorted(
    {str(field.validation_alias) for kind in (Settings, ReceiverSettings) for field in kind.model_fields.values()}
)
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def tracked() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


def found(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def readme() -> str:
    return (ROOT / "README.md").read_text()


def test_no_file_names_a_package_registry():
    assert found(REGISTRY) == []


def test_no_file_names_a_folder_of_somebodys_machine():
    assert found(MACHINE) == []


def test_the_patterns_find_what_they_are_for():
    for line in ("--index" + "-url x", "files.python" + "hosted.org", "pypi." + "org/simple"):
        assert REGISTRY.search(line), line
    assert not REGISTRY.search("uv pip compile --no-emit-index-url")
    for folder in ("work", "root", "home/me", "Users"):
        assert MACHINE.search(f"cd /{folder}/x"), folder
    assert not MACHINE.search("tests/" + "work/x and ../" + "root/")


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_readme_explains_every_variable(variable):
    assert re.search(rf"\b{variable}\b", readme())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_explains_every_command(command):
    assert re.search(rf"\bingest {command}\b", readme())
