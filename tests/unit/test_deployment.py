"""What the files of a deployment promise, as far as it can be seen without a container engine."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import SecretStr
from ruamel.yaml import YAML

from ingest import settings
from ingest.cli.app import app
from ingest.processes import free_port
from ingest.settings import ConfigurationError, Settings, load, read
from sandbox.options import parse_options
from webhooks.settings import ReceiverSettings

ROOT = Path(__file__).parent.parent.parent
COMPOSE_FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = YAML(typ="safe").load(COMPOSE_FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
IMAGE = "memories-ingest:local"
OURS = {name: service for name, service in SERVICES.items() if service["image"] == IMAGE}
PAGE = (ROOT / "docs" / "deployment.md").read_text()

FIELDS = {str(field.validation_alias): name for name, field in Settings.model_fields.items()}
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
#: A change of this is a change of who owns the files on every disk of every user.
USER = "10001:10001"
#: Read by Postgres' own image, not by our code.
FOREIGN_SECRETS = {"postgres_password"}


def _instructions() -> list[tuple[str, str]]:
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for line in joined.splitlines() if line for word, _, rest in [line.partition(" ")]]


DOCKERFILE = _instructions()


def instruction(word: str) -> str:
    """The last one counts."""
    return [rest for one, rest in DOCKERFILE if one == word][-1]


def final_stage() -> list[tuple[str, str]]:
    start = max(number for number, (word, _) in enumerate(DOCKERFILE) if word == "FROM")
    return DOCKERFILE[start:]


def parses(arguments: list[str]) -> None:
    """Fails where the command line would: an unknown command, an unknown option, a missing argument."""
    name, *rest = arguments
    assert name in COMMANDS, f"there is no command 'ingest {name}'"
    COMMANDS[name].make_context(name, list(rest))
    if name == "sandbox":  # hands its options on unread
        parse_options(rest)


def check_schema(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in FIELDS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_variables: None) -> Path:
    """A folder of secrets in the place where containers have theirs."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setattr(settings, "SECRETS", folder)
    return folder


# The compose file


def test_the_compose_file_keeps_to_the_specification():
    checked = check_schema(COMPOSE_FILE)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_misspelt_compose_file_would_be_seen(tmp_path):
    bad = tmp_path / "docker-compose.yml"
    bad.write_text(COMPOSE_FILE.read_text().replace("stop_grace_period", "stop_grace_time", 1))
    assert check_schema(bad).returncode == 1


def test_what_a_service_names_is_declared():
    for name, service in SERVICES.items():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"]), name
        assert set(service.get("depends_on", ())) <= set(SERVICES), name
        sources = {volume.split(":")[0] for volume in service.get("volumes", ())}
        assert {one for one in sources if not one.startswith(".")} <= set(COMPOSE["volumes"]), name


def test_every_secret_is_given_to_somebody():
    given = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert given == set(COMPOSE["secrets"])


@pytest.mark.parametrize("name", OURS)
def test_every_part_starts_a_command_that_exists(name):
    parses(OURS[name]["command"])


def test_the_image_is_built_once():
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_of_a_part_is_read_by_somebody(name):
    known = set(FIELDS) if name in OURS else {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE"}
    assert set(SERVICES[name].get("environment", ())) <= known


def test_every_variable_taken_from_outside_is_one_of_ours_and_passed_on_as_itself():
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            assert re.findall(r"\$\{?(\w+)", str(value)) in ([], [variable])
    assert set(re.findall(r"\$\{?(\w+)", COMPOSE_FILE.read_text())) <= set(FIELDS)


def test_a_variable_left_empty_means_the_default(monkeypatch, no_variables):
    usual = load()
    for variable in re.findall(r"\$\{(\w+):-\}", COMPOSE_FILE.read_text()):
        monkeypatch.setenv(variable, "")
    assert load() == usual


def test_no_secret_stands_in_the_compose_file():
    for service in SERVICES.values():
        names = [name for name in service.get("environment", ()) if not name.endswith("_FILE")]
        assert not [name for name in names if re.search("KEY|SECRET|PASSWORD|DATABASE_URL", name)]


def test_all_parts_that_send_are_told_the_same():
    assert OURS["worker"]["environment"] == OURS["settle"]["environment"]
    assert set(OURS["worker"]["secrets"]) == {"memories_api_key", "ingest_secret", "ingest_database_url"}
    assert OURS["worker"]["environment"]["INGEST_REDIS_URL"] == OURS["beat"]["environment"]["INGEST_REDIS_URL"]


def test_both_queues_have_a_worker():
    queues = {OURS[name]["command"][OURS[name]["command"].index("--queues") + 1] for name in ("worker", "settle")}
    assert queues == {"send", "settle"}


def test_the_receiver_is_given_neither_the_vendors_key_nor_redis():
    web = OURS["web"]
    assert set(web["secrets"]) == {"ingest_secret", "ingest_database_url"}
    assert "INGEST_REDIS_URL" not in web["environment"]
    assert "redis" not in web["depends_on"]


def test_only_the_receiver_is_published_beyond_this_machine():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"web": ["8000:8000"], "console": ["127.0.0.1:8001:8001"]}


def test_a_worker_can_be_multiplied():
    assert not {"container_name", "ports", "hostname"} & set(OURS["worker"])


def test_a_worker_is_given_the_time_to_stop_that_it_needs():
    for name in ("worker", "settle"):
        assert int(OURS[name]["stop_grace_period"].removesuffix("s")) > 8


@pytest.mark.parametrize("name", sorted(set(OURS) - {"migrate"}))
def test_no_part_starts_before_the_schema_is_there(name):
    assert OURS[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_the_schema_waits_for_postgres_and_is_made_once():
    migrate = OURS["migrate"]
    assert migrate["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert migrate["restart"] == "no"


def test_redis_evicts_nothing_and_survives_a_crash():
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--appendonly"] == "yes"
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]


def test_the_sandbox_runs_only_when_asked_for():
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["sandbox"]
    assert SERVICES["sandbox"]["profiles"] == ["sandbox"]


def test_a_part_without_an_address_asks_none_for_its_health():
    silent = {name for name, service in OURS.items() if service.get("healthcheck", {}).get("disable")}
    assert silent == set(OURS) - {"web", "console"}


# Secrets


@pytest.mark.parametrize("secret", sorted(set(COMPOSE["secrets"]) - FOREIGN_SECRETS))
def test_every_secret_is_read_by_the_code(secrets, secret):
    value = "postgresql://u:p@db/ingest" if secret.endswith("_url") else "sk-0123456789"
    (secrets / secret).write_text(value + "\n")
    found = getattr(load(), FIELDS[secret.upper()])
    assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == value


def test_the_receiver_reads_its_secrets_too(secrets):
    (secrets / "ingest_secret").write_text("shared\n")
    (secrets / "ingest_database_url").write_text("postgresql://u:p@db/ingest\n")
    receiver = read(ReceiverSettings)
    assert (receiver.signing_secret, receiver.database) == ("shared", "postgresql+psycopg://u:p@db/ingest")


def test_the_environment_goes_before_a_secret_file(monkeypatch, secrets):
    (secrets / "memories_api_key").write_text("sk-of-the-file")
    monkeypatch.setenv("MEMORIES_API_KEY", "sk-of-the-environment")
    assert load().account.key == "sk-of-the-environment"
    monkeypatch.setenv("MEMORIES_API_KEY", "")
    assert load().account.key == "sk-of-the-file"


def test_a_wrong_secret_is_a_sentence_that_does_not_tell_it(secrets):
    (secrets / "ingest_database_url").write_text("mysql://u:hidden@db/ingest")
    with pytest.raises(ConfigurationError, match=r"^INGEST_DATABASE_URL: it must start with") as error:
        load()
    assert "hidden" not in str(error.value)


def test_a_secret_that_cannot_be_read_is_a_sentence(secrets):
    (secrets / "ingest_secret").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"A secret file in .* cannot be read: "):
        load()


def test_a_machine_without_secret_files_is_not_warned(monkeypatch, tmp_path, no_variables):
    monkeypatch.setattr(settings, "SECRETS", tmp_path / "nowhere")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load()


def test_containers_have_their_secrets_where_the_code_looks():
    assert Path("/run/secrets") == settings.SECRETS


# The image


def test_the_image_starts_the_whole_service_unless_told_otherwise():
    assert json.loads(instruction("ENTRYPOINT")) == ["ingest"]
    parses(json.loads(instruction("CMD")))


def test_the_image_runs_as_a_user_of_a_fixed_number_that_is_not_root():
    assert [rest for word, rest in final_stage() if word == "USER"] == [USER]
    assert all(number != "0" for number in USER.split(":"))
    after = [word for word, _ in final_stage()[[word for word, _ in final_stage()].index("USER") :]]
    assert not {"RUN", "COPY", "ADD"} & set(after)


def test_the_state_folder_is_a_volume_that_belongs_to_the_user():
    words = [word for word, _ in final_stage()]
    made = next(number for number, (_, rest) in enumerate(final_stage()) if "--owner=10001" in rest and "/data" in rest)
    # What is done to a folder after it was declared a volume is thrown away.
    assert made < words.index("VOLUME")
    assert instruction("VOLUME") == "/data"
    assert "INGEST_HOME=/data" in instruction("ENV")


def test_every_variable_of_the_image_is_read_by_somebody():
    names = re.findall(r"(\w+)=", instruction("ENV"))
    assert set(names) <= {*FIELDS, "PATH", "PYTHONUNBUFFERED"}


def test_only_locked_packages_are_installed():
    installs = [
        shlex.split(part) for _, rest in DOCKERFILE for part in rest.split("&&") if part.strip().startswith("pip ")
    ]
    fetching = [one for one in installs if "--no-index" not in one]
    assert [one for one in fetching if "--require-hashes" not in one or "--only-binary=:all:" not in one] == []
    assert len(installs) == 2


def test_every_package_of_the_project_is_in_the_image():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    copied = {name for word, rest in DOCKERFILE if word == "COPY" for name in rest.split()[:-1]}
    assert {package.split(".")[0] for package in packages} <= copied


def test_nothing_reaches_the_build_but_what_is_copied():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    copied = {
        name for word, rest in DOCKERFILE if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]
    }
    assert lines[0] == "*"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied


@contextmanager
def receiver_that_answers(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def health(command: list[str], environment: dict[str, str]) -> int:
    assert command[0] == "python"
    return subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True).returncode


def test_the_health_check_tells_a_living_receiver_from_a_dead_one():
    command = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    with receiver_that_answers(200) as port:
        # A proxy for the vendor's sake must not stand between.
        assert health(command, {"INGEST_PORT": str(port), "http_proxy": f"http://127.0.0.1:{free_port()}"}) == 0
    with receiver_that_answers(503) as port:
        assert health(command, {"INGEST_PORT": str(port)}) == 1
    assert health(command, {"INGEST_PORT": str(free_port())}) == 1


def test_the_health_check_asks_the_usual_port_where_none_is_given():
    assert str(Settings.model_fields["port"].default) in instruction("HEALTHCHECK")


def test_the_consoles_health_check_tells_a_living_one_from_a_dead_one():
    kind, *command = SERVICES["console"]["healthcheck"]["test"]
    assert kind == "CMD"
    usual = str(Settings.model_fields["console_port"].default)
    assert usual in command[-1]
    for status, code in ((200, 0), (503, 1)):
        with receiver_that_answers(status) as port:
            assert health([*command[:-1], command[-1].replace(usual, str(port))], {}) == code


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_the_dockerfile_has_no_known_fault():
    checked = subprocess.run(["hadolint", str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


# The page


def test_the_page_names_only_commands_that_exist():
    # Users and containers are called ingest too.
    named = set(re.findall(r"(?<![\w-])ingest ([a-z]+)\b", re.sub(r"(-u|exec) ingest ", "", PAGE)))
    assert {"up", "web", "console", "worker", "beat", "migrate", "add", "status"} <= named
    assert named <= set(COMMANDS)


def test_the_page_names_only_variables_that_exist():
    assert set(re.findall(r"\b(?:INGEST|MEMORIES)_[A-Z_]+\b", PAGE)) <= set(FIELDS)


@pytest.mark.parametrize("secret", COMPOSE["secrets"])
def test_the_page_says_how_every_secret_is_made(secret):
    assert f"> {COMPOSE['secrets'][secret]['file'].removeprefix('./')}\n" in PAGE


def test_a_proxy_lets_through_only_what_the_receiver_serves():
    nginx = dict(re.findall(r"location (?:= )?(\S+) \{([^}]*)\}", PAGE))
    assert {path for path, does in nginx.items() if "proxy_pass" in does} == {"/webhooks/", "/healthz"}
    assert "return 404" in nginx["/"]
    assert re.findall(r"@open path (.*)", PAGE) == ["/webhooks/* /healthz"]
    assert "respond 404" in PAGE
