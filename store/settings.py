"""Settings, read from environment variables only (`LIMBECK_*`). By default everything runs embedded in `./.limbeck`."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from limbeck.shared.parts import LoggerName, parse_loggers
from limbeck.shared.text import unknown_setting

_LLM = "llm_"
_PREFIX = "LIMBECK_"
# Variables that the client, docker-compose.yml and the tests read.
_OTHER_READERS = ("LIMBECK_URL", "LIMBECK_KEY", "LIMBECK_DATA", "LIMBECK_CONFIG")
_OF_TESTS = "LIMBECK_TEST_"
PASSWORD_REMEDY = "write special characters of the password as %XX, or set LIMBECK_{}_PASSWORD to the password as it is"
_SERVER = re.compile(r"(?P<scheme>(?:postgres(?:ql)?(?:\+\w+)?|rediss?)://)(?:(?P<user>[^@/]*)@)?(?P<rest>[^@]*)")


class Settings(BaseSettings):
    """The operator's settings. Field `x` is read from `LIMBECK_X`; durations are in seconds, sizes in bytes.

    A variable that is set but empty has its default, because compose files cannot leave a variable out.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", frozen=True, env_ignore_empty=True)

    home: Path = Field(Path(".limbeck"), description="Default folder for all data that no other setting places.")
    database_url: str = Field("", description="SQLAlchemy URL; if empty, SQLite below `home`.")
    database_password: SecretStr = Field(
        SecretStr(""), description="Password for the user in `database_url`, as it is: no character is escaped."
    )
    redis_url: SecretStr = Field(SecretStr(""), description="URL of the Celery broker; if empty, embedded mode.")
    redis_password: SecretStr = Field(
        SecretStr(""), description="Password for `redis_url`, as it is: no character is escaped."
    )
    data_root: Path | None = Field(None, description="The only folder that clients may refer to by path.")
    upload_root: Path | None = Field(
        None,
        description="Folder for uploads of images (`/v1/uploads`), which API and workers share; uploads are off unless "
        "it is set.",
    )
    upload_quota_bytes: int = Field(
        20 * 2**30, ge=1, description="Largest sum of all uploads; each file counts as at least 4 KiB."
    )
    upload_max_files: int = Field(
        200_000, ge=1, le=1_000_000, description="Largest number of files, and of folders, in one upload."
    )
    keep_uploads_s: float = Field(
        7 * 86400.0, ge=60, description="Uploads that are not complete are removed so long after their last byte."
    )
    artefacts_url: str = Field("", description="fsspec URL of the artefact store; if empty, a folder below `home`.")
    cache_dir: Path | None = Field(None, description="Cache of decoded images and teacher features, per machine.")

    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8420, ge=0, le=65535, description="Port that the API listens on; 0 picks a free port.")
    bind: str = Field(
        "",
        description="Address of the host at which the port of a container is published, as docker-compose.yml does it; "
        "it then decides, in place of `host`, about the warning of keys in plain text.",
    )
    tls_cert: Path | None = Field(
        None, description="Certificate chain of the API (PEM), with `tls_key`; it then serves HTTPS."
    )
    tls_key: Path | None = Field(None, description="Private key of the certificate (PEM, without a password).")
    trusted_proxies: str = Field(
        "",
        description="Addresses and networks of proxies, separated by commas, whose X-Forwarded-For and "
        "X-Forwarded-Proto are believed.",
    )
    allow_plain_http: bool = Field(
        False,
        description="No warning that keys travel in plain text: a proxy terminates TLS, or the network is private. The "
        "client reads it too.",
    )
    max_body_bytes: int = Field(64 * 2**20, ge=1024, description="Largest request body, counted while it streams.")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level of log lines; `debug` adds the polls of clients and of Prometheus."
    )

    max_connections: int = Field(
        2048, ge=16, description="Connections to the API; above, one that waits for a request is closed for a new one."
    )
    header_timeout_s: float = Field(10.0, gt=0, description="Time for the head of a request.")

    webhook_hosts: str = Field(
        "", description="Hosts that webhooks may call, by commas: `ci.example.org, hooks:8443`; if empty, none."
    )
    session_s: float = Field(
        7 * 86400.0, gt=0, description="How long a browser stays signed in; it ends earlier with its key."
    )

    llm_base_url: str = Field("", description="URL of an OpenAI-compatible server; if empty, the openai default.")
    llm_model: str = Field("", description="Default model for jobs that name none.")
    llm_api_key: SecretStr = Field(SecretStr(""), description="API key of the LLM server.")
    llm_api_version: str = Field(
        "", description="API version of an Azure OpenAI resource, whose endpoint is then `llm_base_url`."
    )
    llm_headers: SecretStr = Field(
        SecretStr(""), description="Extra headers of every request to the LLM server, as a JSON object."
    )
    llm_timeout_s: float = Field(60.0, gt=0, description="Timeout of one LLM call.")
    llm_max_attempts: int = Field(5, ge=1, le=20, description="Attempts per question before it fails.")
    llm_concurrency: int = Field(16, ge=1, le=512, description="LLM calls in flight per worker process.")
    llm_requests_per_min: int | None = Field(
        None, ge=1, description="Limit of requests per minute to one server and model, over all workers."
    )
    llm_tokens_per_min: int | None = Field(
        None, ge=1, description="Limit of tokens per minute, over all workers; estimated before each call."
    )
    llm_in_flight: int | None = Field(None, ge=1, description="Limit of calls in flight, over all workers.")
    prices: Path | None = Field(None, description="Price file that extends and overrides the prices of genai-prices.")
    llm_max_tokens: int = Field(700, ge=16, description="Limit of tokens per response.")
    llm_max_reasoning_tokens: int = Field(
        8_192, ge=0, description="By how many tokens that limit may grow for a model that thinks before it answers."
    )
    llm_temperature: float = Field(0.0, ge=0, le=2, description="Sampling temperature of the LLM.")
    system_prompt: str = Field(
        "", max_length=4_000, description="System prompt of jobs that give none, in place of the strategies' own."
    )
    llm_top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling; not sent if unset.")
    llm_seed: int | None = Field(None, description="Seed of the sampling; not sent if unset.")
    llm_reasoning_effort: str = Field(
        "", pattern=r"^[a-z]*$", description="How much a model thinks (minimal, low, medium, high); not sent if unset."
    )
    llm_extra_body: str = Field("", description="JSON object of further request parameters; null removes one.")
    llm_proxy: SecretStr = Field(SecretStr(""), description="URL of a proxy for the LLM server.")
    llm_ca_file: Path | None = Field(None, description="File of CA certificates (PEM) that the LLM server's is from.")
    llm_outage_limit_s: float = Field(
        600.0, gt=0, description="How long an LLM server may be away before a job ends as `llm_unavailable`."
    )
    llm_endpoints: Path | None = Field(
        None, description="TOML file of further LLM endpoints; these settings are the endpoint `default`."
    )
    strategies_dir: Path | None = Field(None, description="Folder with additional strategies, one .toml file each.")

    example: Path | None = Field(
        None,
        description="Plan of an example (JSON, the body of `POST /v1/plan`) that the start page offers as one button; "
        "`limbeck serve --field-guide` sets it.",
    )

    nonvisual_words: Path | None = Field(None, description="File with additional nonvisual words for the gates.")

    lease_s: float = Field(30.0, gt=0, description="Lease of a part; it expires unless the worker renews it.")
    max_attempts: int = Field(4, ge=1, description="Number of attempts before a part fails.")
    sweep_s: float = Field(1.0, gt=0, description="Interval between two passes of the sweeper.")
    resend_s: float = Field(30.0, gt=0, description="Delay before a message that no worker took is sent again.")
    keep_audit_s: float = Field(
        365 * 86400.0, gt=0, description="How long the record of writes (`GET /v1/audit`) is kept."
    )
    part_limit_s: float = Field(7 * 86400.0, gt=0, description="Time limit of one part.")
    alive_file: Path | None = Field(
        None, description="File that a worker or sweeper touches every few seconds, for health checks of its container."
    )
    stall_limit_s: float = Field(
        1800.0, gt=0, description="Time without any progress after which a GPU part is ended and tried again."
    )
    keep_states_s: float = Field(
        7 * 86400.0, ge=0, description="How long the training state of a failed or cancelled job is kept for a retry."
    )
    rendezvous_host: str = Field(
        "",
        description="Address at which the other machines of a training reach this one; if empty, the one from which it "
        "reaches the database.",
    )
    enrich_chunk: int = Field(64, ge=1, le=4096, description="Labels per part of an enrich job.")

    keep_idempotency_s: float = Field(
        24 * 3600.0, ge=60, description="How long a POST can be repeated with its `Idempotency-Key`."
    )
    keep_events_s: float = Field(
        180 * 86400.0, ge=0, description="How long the events of a job are kept after its end; 0: as long as the job."
    )
    keep_drafts_s: float = Field(
        0.0, ge=0, description="How long the edits of a draft are kept after the last one; 0: until they are sealed."
    )
    keep_features_s: float = Field(
        90 * 86400.0,
        ge=0,
        description="Teacher features in the artefact store that no job used for so long are removed; 0: never.",
    )
    cache_max_age_s: float = Field(
        30 * 86400.0, ge=0, description="Cached results that no part used for so long are removed; 0: never."
    )
    cache_max_bytes: int = Field(
        0, ge=0, description="The least recently used cached results above this size are removed; 0: no limit."
    )
    features_chunk: int = Field(
        4096,
        ge=1,
        le=65_536,
        description="Images per part in which GPU workers encode the images of a job; a job with fewer has none, nor "
        "has one of the embedded worker.",
    )

    tensorboard_dir: Path | None = Field(
        None, description="Folder of TensorBoard events, one folder per distill job; off unless set."
    )
    log_to: str = Field(
        "", description="Further loggers of trainings, separated by commas: wandb, mlflow; their own variables apply."
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower_case(cls, level: object) -> object:
        return level.lower() if isinstance(level, str) else level

    @field_validator("log_to")
    @classmethod
    def _known_loggers(cls, text: str) -> str:
        if "tensorboard" in parse_loggers(text):
            raise ValueError("tensorboard is turned on by LIMBECK_TENSORBOARD_DIR, its folder")
        return text

    @field_validator("redis_url")
    @classmethod
    def _readable_redis_url(cls, url: SecretStr) -> SecretStr:
        if not is_redis_url(url.get_secret_value()):
            raise ValueError(f"is not a URL such as redis://HOST:6379/0; {PASSWORD_REMEDY.format('REDIS')}")
        return url

    @field_validator("database_password", "redis_password")
    @classmethod
    def _fits_its_url(cls, password: SecretStr, info: ValidationInfo) -> SecretStr:
        name = str(info.field_name).replace("password", "url")
        if password.get_secret_value() and name in info.data:
            url = info.data[name]
            with_password(url if isinstance(url, str) else url.get_secret_value(), password.get_secret_value())
        return password

    @field_validator(
        "home",
        "data_root",
        "upload_root",
        "cache_dir",
        "tensorboard_dir",
        "strategies_dir",
        "prices",
        "nonvisual_words",
        "example",
        "llm_ca_file",
        "llm_endpoints",
        "alive_file",
        "tls_cert",
        "tls_key",
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().resolve() if path else path

    @property
    def llm(self) -> Mapping[str, object]:
        """The settings of the endpoint `default`: `model` is LIMBECK_LLM_MODEL."""
        names = [name for name in type(self).model_fields if name.startswith(_LLM) and name != "llm_endpoints"]
        return {name.removeprefix(_LLM): getattr(self, name) for name in names}

    @property
    def loggers(self) -> tuple[LoggerName, ...]:
        """The loggers of trainings."""
        return (*(("tensorboard",) if self.tensorboard_dir else ()), *parse_loggers(self.log_to))

    @property
    def distributed(self) -> bool:
        """Whether Celery delivers parts to workers; if not, the embedded worker runs them."""
        return bool(self.redis_url.get_secret_value())

    @cached_property
    def database(self) -> str:
        """The database URL in use. A plain `postgresql://` selects psycopg 3."""
        url = self.database_url or f"sqlite:///{self.home / 'limbeck.db'}"
        url = with_password(url, self.database_password.get_secret_value())
        for bare in ("postgresql://", "postgres://"):
            if url.startswith(bare):
                return "postgresql+psycopg://" + url.removeprefix(bare)
        return url

    @property
    def broker(self) -> str:
        """The Redis URL in use, with its password; "" in embedded mode."""
        return with_password(self.redis_url.get_secret_value(), self.redis_password.get_secret_value())

    @property
    def data(self) -> Path:
        """The data root: the folder that clients may refer to by path."""
        return self.data_root or self.home / "data"

    @property
    def artefacts(self) -> str:
        """The fsspec URL of the artefact store."""
        return self.artefacts_url or f"file://{self.home / 'artefacts'}"

    @property
    def cache(self) -> Path:
        """The cache folder of this machine. It may be deleted; its content is then computed again."""
        return self.cache_dir or self.home / "cache"


def setting_names() -> list[str]:
    """The environment variables of all settings: `LIMBECK_HOME`, …"""
    return [f"{_PREFIX}{name.upper()}" for name in Settings.model_fields]


def unknown_settings(environment: Mapping[str, str], endpoints_file: Path | None = None) -> dict[str, str]:
    """Variable → warning, for each `LIMBECK_*` variable that nothing reads. No warning contains a value.

    The endpoints file names further variables, with keys, headers and proxies.
    """
    known = [*setting_names(), *_OTHER_READERS, *_variables_in(endpoints_file)]
    found = {}
    for name in sorted(environment):
        upper = name.upper()
        if upper.startswith(_PREFIX) and upper not in known and not upper.startswith(_OF_TESTS):
            near = get_close_matches(upper.removeprefix(_PREFIX), [one.removeprefix(_PREFIX) for one in known], 1)
            found[name] = unknown_setting(name, _PREFIX + near[0] if near else "")
    return found


def _variables_in(endpoints_file: Path | None) -> list[str]:
    try:
        text = endpoints_file.read_text(encoding="utf-8-sig") if endpoints_file else ""
    except (OSError, UnicodeDecodeError):  # what reads the endpoints reports the fault
        return []
    return re.findall(rf"{_PREFIX}[A-Z0-9_]+", text)


def with_password(url: str, password: str) -> str:
    """The URL with the password, escaped; unchanged without one.

    Raises ValueError if the URL has a password already, has no user that a Postgres password belongs to, or is none of
    Postgres or Redis.
    """
    if not password:
        return url
    match = _SERVER.fullmatch(url)
    if match is None:
        raise ValueError("belongs to a URL such as postgresql://USER@HOST/NAME or redis://HOST:6379/0")
    user = match["user"] or ""
    if ":" in user:
        raise ValueError("is given, and the URL has a password too: give one of the two")
    if not user and not match["scheme"].startswith("redis"):
        raise ValueError("belongs to a user, and the URL names none: postgresql://USER@HOST/NAME")
    return f"{match['scheme']}{user}:{quote(password, safe='')}@{match['rest']}"


def is_redis_url(url: str) -> bool:
    """Whether host and port can be read from a broker's URL; an unescaped `/`, `#` or `?` of a password hides them."""
    if not url:
        return True
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return "://" in url and port != 0 and "@" not in parts.path + parts.query + parts.fragment
