"""Every variable of the service in one class. Nothing is read on import; doors call :func:`load`.

The receiver, which may face the internet, reads only :class:`StateSettings` (through ``webhooks.settings``): no vendor key, no Redis.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from ingest.durations import parse_duration
from ingest.home import default_home, kept_secret, make_private
from ingest.lanes import CAPTION_LANES, Lane, Limit, limits_in_force, parse_limits

#: Where a container finds its secrets: one file per variable, named like it in small letters. The environment goes before them.
SECRETS = Path("/run/secrets")

#: The account of a key for captions alone.
CAPTION_ACCOUNT = "account:caption"

_DATABASES = ("sqlite", "postgres", "postgresql", "postgresql+psycopg")


#: Leases are renewed each third; one that is shorter than this is lost to a busy disk, seconds.
_SHORTEST_LEASE = 2.0


class ConfigurationError(Exception):
    """What is wrong with the configuration and what to do, as one sentence for the person who reads it.

    ``variables`` are those that were given a wrong value, where the trouble is one of values.
    """

    def __init__(self, sentence: str, variables: Iterable[str] = ()) -> None:
        super().__init__(sentence)
        self.variables = frozenset(variables)


@dataclass(frozen=True)
class Timings:
    """Every wait by name, in seconds."""

    #: From the end of a request until the list may prove that nothing arrived.
    unsure: float = 15 * 60
    #: Until a scrape's posts must have appeared.
    scrape: float = 2 * 3600
    #: A creator's task counts as complete when nothing new came for so long.
    quiet: float = 10 * 60
    #: A caption must be answered.
    caption: float = 6 * 3600
    #: A video must be ready.
    parse: float = 24 * 3600
    #: The first question without a callback; later ones back off from it.
    poll: float = 15
    #: Silence of the upstream, not total time.
    http: float = 120
    #: How long a claim lasts without renewal.
    lease: float = 60
    #: Between two calls that try whether a refused key or spent credit is good again.
    probe: float = 5 * 60
    #: Raw callbacks and the events of ended items are kept so long; what they brought about stays.
    retention: float = 30 * 24 * 3600

    @classmethod
    def read(cls, text: str) -> "Timings":
        """``unsure=15m,scrape=2h``; partial is fine. ValueError is a sentence."""
        names = [one.name for one in fields(cls)]
        given: dict[str, float] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if name not in names:
                raise ValueError(f"'{name}' is no timing; the timings are {', '.join(names)}")
            if not equals:
                raise ValueError(f"'{part}' is no timing; write NAME=DURATION, for example {name}=15m")
            given[name] = parse_duration(value)
            if given[name] <= 0:
                raise ValueError(f"'{part}': a wait must be longer than zero")
        if given.get("lease", cls.lease) < _SHORTEST_LEASE:
            raise ValueError(f"a lease is at least {_SHORTEST_LEASE:g} s: it must outlast a slow commit")
        return replace(cls(), **given)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a video to be captioned must keep: seconds from and to, and bytes (contract B.7 D1; plans differ)."""

    shortest: float
    longest: float
    largest: int


class StateSettings(BaseSettings):
    """Where the state lives: what every door needs, the public one included."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", env_ignore_empty=True)

    home: Path = Field(default_factory=default_home, validation_alias="INGEST_HOME")
    database_url: str = Field("", validation_alias="INGEST_DATABASE_URL", repr=False)
    secret: SecretStr = Field(SecretStr(""), validation_alias="INGEST_SECRET")

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if url and url.partition("://")[0] not in _DATABASES:
            raise ValueError("it must start with sqlite:///, postgresql:// or postgresql+psycopg://")
        return url

    @property
    def is_sqlite(self) -> bool:
        return not self.database_url or self.database_url.startswith("sqlite")

    @property
    def database(self) -> str:
        """The SQLAlchemy URL; ``postgres://`` and a missing driver are put right."""
        if not self.database_url:
            return f"sqlite:///{make_private(self.home) / 'ingest.db'}"
        scheme, _, rest = self.database_url.partition("://")
        return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else self.database_url

    @property
    def signing_secret(self) -> str:
        if self.secret.get_secret_value():
            return self.secret.get_secret_value()
        if not self.is_sqlite:
            raise ConfigurationError(
                "INGEST_SECRET is not set; it is required with a database that hosts share, because they must sign callback "
                'tokens alike. Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        return kept_secret(self.home)


class Settings(StateSettings):
    """All of it, for the workers, the command line and the operator's door."""

    api_key: SecretStr = Field(SecretStr(""), validation_alias="MEMORIES_API_KEY")
    caption_api_key: SecretStr = Field(SecretStr(""), validation_alias="MEMORIES_CAPTION_API_KEY")
    api_url: str = Field("https://api.memories.ai", validation_alias="MEMORIES_API_URL")
    caption_url: str = Field("https://security.memories.ai", validation_alias="MEMORIES_CAPTION_URL")
    redis_url: str = Field("", validation_alias="INGEST_REDIS_URL", repr=False)
    public_url: str = Field("", validation_alias="INGEST_PUBLIC_URL")
    limits_text: str = Field("", validation_alias="INGEST_LIMITS")
    timings_text: str = Field("", validation_alias="INGEST_TIMINGS")
    library_roots_text: str = Field("", validation_alias="INGEST_LIBRARY_ROOTS")
    name_ids: bool = Field(True, validation_alias="INGEST_NAME_IDS")
    caption_mb: float = Field(20, validation_alias="INGEST_CAPTION_MB", gt=0)
    caption_seconds: str = Field("20-300", validation_alias="INGEST_CAPTION_SECONDS")
    host: str = Field("", validation_alias="INGEST_HOST")
    port: int = Field(8000, validation_alias="INGEST_PORT", ge=0, le=65535)
    console_host: str = Field("127.0.0.1", validation_alias="INGEST_CONSOLE_HOST")
    console_port: int = Field(8001, validation_alias="INGEST_CONSOLE_PORT", ge=0, le=65535)

    @field_validator("api_key", "caption_api_key")
    @classmethod
    def _header(cls, key: SecretStr) -> SecretStr:
        """A key travels in a header: what cannot stand there would fail at each request, and not say why."""
        text = key.get_secret_value().strip()
        if not re.fullmatch(r"[!-~]*", text):
            raise ValueError("a key is one word of plain ASCII; this one holds a blank or another character")
        return SecretStr(text)

    @field_validator("api_url", "caption_url", "public_url")
    @classmethod
    def _http(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            shown = re.sub(r"//[^/]*@", "//***@", url)
            raise ValueError(f"'{shown}' must start with http:// or https://")
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise ValueError("it must not hold a user name or password: addresses are shown and logged")
        if url and not urlsplit(url).hostname:
            raise ValueError(f"'{url}' names no host")
        return url.rstrip("/")

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, url: str) -> str:
        if url and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("it must start with redis://, rediss:// or unix://")
        return url

    @field_validator("caption_seconds")
    @classmethod
    def _seconds_parse(cls, text: str) -> str:
        shortest, dash, longest = text.partition("-")
        try:
            good = bool(dash) and 0 <= float(shortest) < float(longest)
        except ValueError:
            good = False
        if not good:
            raise ValueError(f"'{text}' is no span of seconds; write FROM-TO, for example 20-300")
        return text

    @field_validator("limits_text")
    @classmethod
    def _limits_parse(cls, text: str) -> str:
        parse_limits(text)
        return text

    @field_validator("timings_text")
    @classmethod
    def _timings_parse(cls, text: str) -> str:
        Timings.read(text)
        return text

    @field_validator("library_roots_text")
    @classmethod
    def _roots_parse(cls, text: str) -> str:
        _folders(text)
        return text

    @property
    def limits(self) -> dict[Lane, Limit | None]:
        return limits_in_force(parse_limits(self.limits_text))

    @property
    def timings(self) -> Timings:
        return Timings.read(self.timings_text)

    @property
    def library_roots(self) -> tuple[Path, ...]:
        """The folders from which the operator's API may import; none unless somebody says so."""
        return _folders(self.library_roots_text)

    @property
    def caption_bounds(self) -> Bounds:
        shortest, _, longest = self.caption_seconds.partition("-")
        return Bounds(float(shortest), float(longest), round(self.caption_mb * 1_000_000))

    @property
    def receiver_host(self) -> str:
        return self.host or ("0.0.0.0" if self.public_url else "127.0.0.1")

    @property
    def console_url(self) -> str:
        host = "127.0.0.1" if self.console_host in ("0.0.0.0", "::", "") else self.console_host
        return f"http://{host}:{self.console_port}"

    def key_for(self, lane: Lane) -> str:
        if lane in CAPTION_LANES and self.caption_api_key.get_secret_value():
            return self.caption_api_key.get_secret_value()
        return self.api_key.get_secret_value()

    def account_for(self, lane: Lane) -> "Account":
        """An account is a key. A different caption key is an account of its own, so its refusal does not stop uploads."""
        key = self.key_for(lane)
        own = lane in CAPTION_LANES and key != self.api_key.get_secret_value()
        return Account(CAPTION_ACCOUNT if own else "account", key)

    @property
    def account(self) -> "Account":
        return self.account_for(Lane.UPLOAD)

    def require_key(self) -> None:
        if not self.api_key.get_secret_value():
            raise ConfigurationError(
                "MEMORIES_API_KEY is not set; put your Memories.ai key into the environment or into .env, "
                "or see everything work without one: ingest demo"
            )


def _folders(text: str) -> tuple[Path, ...]:
    """``/srv/videos:/mnt/more``. ValueError is a sentence."""
    found = []
    for name in filter(None, (piece.strip() for piece in text.split(os.pathsep))):
        try:
            folder = Path(name).expanduser()
        except RuntimeError:
            raise ValueError(f"'{name}' names the home of nobody; write the whole path") from None
        if not folder.is_absolute():
            raise ValueError(f"'{name}' is no whole path; write for example /srv/videos{os.pathsep}/mnt/more")
        found.append(folder)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Account:
    """``scope`` is the name that pauses carry; the key itself never leaves this object except into a request header."""

    scope: str
    key: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Names the key without telling it: rows and Redis keys hold this."""
        return hashlib.sha256(f"memories-ingest:{self.key}".encode()).hexdigest()[:12]


def load() -> Settings:
    """Settings from the environment, ``.env`` and secret files; ConfigurationError is one sentence per mistake."""
    return read(Settings)


S = TypeVar("S", bound=StateSettings)


def load_without(variables: Iterable[str]) -> Settings:
    """As :func:`load`, with these variables left at their defaults: to look on behind a mistake."""
    fields_ = {str(one.validation_alias): one for one in Settings.model_fields.values()}
    return read(
        Settings,
        **{name: fields_[name].get_default(call_default_factory=True) for name in variables if name in fields_},
    )


def read(kind: type[S], **instead: object) -> S:
    """``instead`` goes before the environment, by the variable's name."""
    try:
        # Named only where it exists: pydantic warns of a missing folder, and most machines have none.
        return kind(_secrets_dir=SECRETS if SECRETS.is_dir() else None, **instead)  # type: ignore[call-arg, arg-type]
    except SettingsError as error:
        raise ConfigurationError(f"A secret file in {SECRETS} cannot be read: {error.__cause__ or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError("The file .env in this folder is not UTF-8; save it as UTF-8") from None
    except PermissionError as error:
        raise ConfigurationError(f"{error.filename or '.env'} cannot be read: permission denied") from None
    except ValidationError as error:
        wrong = {}
        for one in error.errors():
            variable = ".".join(str(part) for part in one["loc"]) or "settings"
            wrong[variable] = str(one.get("ctx", {}).get("error") or one["msg"])
        sentences = [f"{variable}: {reason}" for variable, reason in wrong.items()]
        raise ConfigurationError("; ".join(sentences), wrong) from None
