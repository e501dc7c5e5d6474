import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.lanes import CAPTION_LANES, DEFAULT_LIMITS, Lane, Limit
from ingest.settings import Account, ConfigurationError, Settings, StateSettings, Timings, load, read
from webhooks.settings import ReceiverSettings

KEY = "sk-0123456789abcdef"
CAPTION_KEY = "sk-fedcba9876543210"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder and none of our variables."""
    for name in list(os.environ):
        if name.startswith(("INGEST_", "MEMORIES_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load()


def complaint(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        with_(monkeypatch, **variables)
    return str(error.value)


# Defaults


def test_nothing_need_be_set(nothing_set):
    settings = load()
    assert settings.api_url == "https://api.memories.ai"
    assert settings.caption_url == "https://security.memories.ai"
    assert settings.home == nothing_set / "data" / "memories-ingest"
    assert settings.limits == dict(DEFAULT_LIMITS)
    assert settings.timings == Timings()
    assert settings.name_ids is True
    assert (settings.port, settings.console_port) == (8000, 8001)
    assert (settings.receiver_host, settings.console_host) == ("127.0.0.1", "127.0.0.1")


def test_the_documented_timings_are_the_defaults():
    said = "unsure=15m,scrape=2h,quiet=10m,caption=6h,parse=24h,poll=15s,http=120s,lease=60s"
    assert Timings.read(said) == Timings()


def test_reading_the_settings_makes_nothing(nothing_set):
    load()
    assert list(nothing_set.iterdir()) == []


# The state folder and the database


def test_a_folder_var_is_the_state_folder_where_it_exists(nothing_set):
    (nothing_set / "var").mkdir()
    assert load().home == nothing_set / "var"


def test_the_state_folder_can_be_named(monkeypatch, nothing_set):
    assert with_(monkeypatch, INGEST_HOME="state").home == nothing_set / "state"
    assert with_(monkeypatch, INGEST_HOME="~/state").home == Path.home() / "state"


def test_sqlite_lives_in_a_private_state_folder(nothing_set):
    settings = load()
    assert settings.is_sqlite
    assert settings.database == f"sqlite:///{settings.home}/ingest.db"
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_postgres_address_gets_its_driver(monkeypatch, scheme):
    settings = with_(monkeypatch, INGEST_DATABASE_URL=f"{scheme}://me:secret@db:5432/ingest?sslmode=require")
    assert settings.database == "postgresql+psycopg://me:secret@db:5432/ingest?sslmode=require"
    assert not settings.is_sqlite


def test_another_sqlite_file_is_taken_as_it_is(monkeypatch):
    settings = with_(monkeypatch, INGEST_DATABASE_URL="sqlite:////data/other.db")
    assert settings.is_sqlite
    assert settings.database == "sqlite:////data/other.db"


# The secret that signs


def test_with_sqlite_a_secret_is_made_and_kept():
    assert load().signing_secret == load().signing_secret != ""


def test_a_given_secret_is_used(monkeypatch, nothing_set):
    assert with_(monkeypatch, INGEST_SECRET="given").signing_secret == "given"
    assert list(nothing_set.iterdir()) == []


def test_hosts_that_share_a_database_must_be_given_a_secret(monkeypatch, nothing_set):
    settings = with_(monkeypatch, INGEST_DATABASE_URL="postgresql://db/ingest")
    with pytest.raises(ConfigurationError, match="INGEST_SECRET is not set; it is required"):
        _ = settings.signing_secret
    assert list(nothing_set.iterdir()) == []


# Keys


def test_without_a_key_the_sentence_names_the_variable_and_the_demo():
    with pytest.raises(ConfigurationError, match=r"MEMORIES_API_KEY is not set.*ingest demo"):
        load().require_key()


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_key_is_no_key(monkeypatch, empty):
    with pytest.raises(ConfigurationError, match="MEMORIES_API_KEY is not set"):
        with_(monkeypatch, MEMORIES_API_KEY=empty).require_key()


def test_blanks_around_a_key_are_no_part_of_it(monkeypatch):
    assert with_(monkeypatch, MEMORIES_API_KEY=f" {KEY}\n").account.key == KEY


@pytest.mark.parametrize("key", ["sk-süß-geheim", "sk-top secret", "sk-top\nsecret"])
def test_a_key_that_fits_in_no_header_is_refused_and_not_told(monkeypatch, key):
    said = complaint(monkeypatch, MEMORIES_API_KEY=key)
    assert "MEMORIES_API_KEY: a key is one word of plain ASCII" in said
    assert key not in said


def test_captions_use_the_first_key_and_its_account_where_they_have_none(monkeypatch):
    settings = with_(monkeypatch, MEMORIES_API_KEY=KEY)
    assert {settings.account_for(lane) for lane in Lane} == {Account("account", KEY)}


def test_a_caption_key_is_an_account_of_its_own(monkeypatch):
    settings = with_(monkeypatch, MEMORIES_API_KEY=KEY, MEMORIES_CAPTION_API_KEY=CAPTION_KEY)
    for lane in Lane:
        expected = Account("account:caption", CAPTION_KEY) if lane in CAPTION_LANES else Account("account", KEY)
        assert settings.account_for(lane) == expected


def test_the_same_key_twice_is_one_account(monkeypatch):
    settings = with_(monkeypatch, MEMORIES_API_KEY=KEY, MEMORIES_CAPTION_API_KEY=KEY)
    assert settings.account_for(Lane.CAPTION_VIDEO) == settings.account


def test_no_secret_shows_where_settings_are_printed(monkeypatch):
    settings = with_(
        monkeypatch, MEMORIES_API_KEY=KEY, MEMORIES_CAPTION_API_KEY=CAPTION_KEY, INGEST_SECRET="signs-everything"
    )
    shown = [f(settings) for f in (repr, str, Settings.model_dump, Settings.model_dump_json)]
    for secret in (KEY, CAPTION_KEY, "signs-everything"):
        assert secret not in f"{shown}"


def test_an_account_names_its_key_without_telling_it():
    account = Account("account", KEY)
    for shown in (repr(account), str(account), account.fingerprint):
        assert KEY not in shown
    assert account.fingerprint == Account("account:caption", KEY).fingerprint
    assert account.fingerprint != Account("account", CAPTION_KEY).fingerprint


def test_the_public_door_knows_no_key(monkeypatch):
    monkeypatch.setenv("MEMORIES_API_KEY", KEY)
    assert KEY not in f"{vars(read(ReceiverSettings))}"
    assert not {"api_key", "caption_api_key", "redis_url"} & set(ReceiverSettings.model_fields)


# Addresses and ports


def test_the_receiver_faces_the_world_only_where_callbacks_are_asked_for(monkeypatch):
    assert load().receiver_host == read(ReceiverSettings).address == "127.0.0.1"
    settings = with_(monkeypatch, INGEST_PUBLIC_URL="https://me.example.com")
    assert settings.receiver_host == read(ReceiverSettings).address == "0.0.0.0"
    settings = with_(monkeypatch, INGEST_HOST="10.0.0.5")
    assert settings.receiver_host == read(ReceiverSettings).address == "10.0.0.5"
    assert settings.console_host == "127.0.0.1"


@pytest.mark.parametrize("variable", ["MEMORIES_API_URL", "MEMORIES_CAPTION_URL", "INGEST_PUBLIC_URL"])
@pytest.mark.parametrize("url", ["me.example.com", "ftp://me.example.com", "https://", "http:///path", "http://[::1"])
def test_what_is_no_http_address_is_named(monkeypatch, variable, url):
    assert complaint(monkeypatch, **{variable: url}).startswith(f"{variable}: ")


def test_a_slash_at_the_end_of_an_address_does_not_matter(monkeypatch):
    settings = with_(
        monkeypatch, INGEST_PUBLIC_URL="https://me.example.com/in/", MEMORIES_API_URL="http://127.0.0.1:9/"
    )
    assert settings.public_url == "https://me.example.com/in"
    assert settings.api_url == "http://127.0.0.1:9"


@pytest.mark.parametrize("variable", ["INGEST_PORT", "INGEST_CONSOLE_PORT"])
@pytest.mark.parametrize("port", ["-1", "65536", "http", "80.5"])
def test_what_is_no_port_is_named(monkeypatch, variable, port):
    assert complaint(monkeypatch, **{variable: port}).startswith(f"{variable}: ")


def test_the_ports_can_be_set(monkeypatch):
    settings = with_(monkeypatch, INGEST_PORT="80", INGEST_CONSOLE_PORT="65535")
    assert (settings.port, settings.console_port) == (80, 65535)
    assert read(ReceiverSettings).port == 80


@pytest.mark.parametrize(("text", "on"), [("false", False), ("0", False), ("true", True), ("yes", True)])
def test_short_ids_in_names_can_be_turned_off(monkeypatch, text, on):
    assert with_(monkeypatch, INGEST_NAME_IDS=text).name_ids is on


# Limits and timings


def test_limits_override_lane_by_lane(monkeypatch):
    limits = with_(monkeypatch, INGEST_LIMITS="upload=20/s,scrape=off").limits
    assert limits[Lane.UPLOAD] == Limit(20, 1)
    assert limits[Lane.SCRAPE] is None
    assert limits[Lane.LIST] == DEFAULT_LIMITS[Lane.LIST]


def test_timings_may_be_partial(monkeypatch):
    timings = with_(monkeypatch, INGEST_TIMINGS="unsure=90s, http = 250ms").timings
    assert (timings.unsure, timings.http) == (90, 0.25)
    assert timings.parse == Timings().parse


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("INGEST_LIMITS", "uploads=1/s", "INGEST_LIMITS: 'uploads' is no lane; the lanes are upload, "),
        ("INGEST_LIMITS", "upload=fast", "INGEST_LIMITS: 'upload=fast' is no limit; write "),
        ("INGEST_TIMINGS", "unsur=15m", "INGEST_TIMINGS: 'unsur' is no timing; the timings are unsure, scrape, "),
        ("INGEST_TIMINGS", "unsure", "INGEST_TIMINGS: 'unsure' is no timing; write "),
        ("INGEST_TIMINGS", "unsure=", "INGEST_TIMINGS: '' is not a duration; "),
        ("INGEST_TIMINGS", "unsure=soon", "INGEST_TIMINGS: 'soon' is not a duration; "),
        ("INGEST_TIMINGS", "lease=0", "INGEST_TIMINGS: 'lease=0': a wait must be longer than zero"),
    ],
)
def test_a_bad_word_is_a_sentence_that_names_the_variable(monkeypatch, variable, text, sentence):
    assert complaint(monkeypatch, **{variable: text}).startswith(sentence)


def test_every_mistake_is_told_at_once(monkeypatch):
    said = complaint(monkeypatch, INGEST_PORT="x", INGEST_LIMITS="x=1/s", INGEST_TIMINGS="x=1s")
    assert all(variable in said for variable in ("INGEST_PORT: ", "INGEST_LIMITS: ", "INGEST_TIMINGS: "))
    assert "\n" not in said


@given(st.text(max_size=30))
def test_bad_timings_are_a_sentence_and_nothing_else(text):
    try:
        assert Timings.read(text).lease > 0
    except ValueError as error:
        assert any(words in str(error) for words in (" is no timing", " is not a duration", "longer than zero"))


# .env


def test_a_file_env_is_read(monkeypatch, nothing_set):
    (nothing_set / ".env").write_text(f'MEMORIES_API_KEY="{KEY}"\nINGEST_PORT=9000\nOTHER=ignored\n')
    settings = load()
    assert settings.account.key == KEY
    assert settings.port == 9000


def test_the_environment_goes_before_the_file(monkeypatch, nothing_set):
    (nothing_set / ".env").write_text("INGEST_PORT=9000\n")
    assert with_(monkeypatch, INGEST_PORT="9001").port == 9001


def test_a_bad_line_of_the_file_is_a_sentence_too(nothing_set):
    (nothing_set / ".env").write_text("INGEST_TIMINGS=never=1s\n")
    with pytest.raises(ConfigurationError, match="INGEST_TIMINGS: 'never' is no timing"):
        load()


@pytest.mark.parametrize("kind", [StateSettings, Settings, ReceiverSettings])
def test_every_variable_has_one_of_our_names(kind):
    names = {str(field.validation_alias) for field in kind.model_fields.values()}
    assert all(name.startswith(("INGEST_", "MEMORIES_")) for name in names)


# Roots


def test_no_folder_may_be_imported_from_unless_somebody_says_so():
    assert load().library_roots == ()


def test_the_roots_are_whole_paths_with_a_colon_between(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    found = with_(monkeypatch, INGEST_LIBRARY_ROOTS="/srv/videos:~/more: /mnt/a b:").library_roots
    assert found == (Path("/srv/videos"), tmp_path / "more", Path("/mnt/a b"))


@pytest.mark.parametrize("text", ["videos", "/srv/videos:videos", ".", "~nobody-of-that-name/videos"])
def test_a_root_that_is_no_whole_path_is_refused(monkeypatch, text):
    assert complaint(monkeypatch, INGEST_LIBRARY_ROOTS=text).startswith("INGEST_LIBRARY_ROOTS: '")
