"""Settings, from the environment only (`LIMBECK_*`). Without any, everything runs embedded below `./.limbeck`."""

from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator can set. Each field `x` is read from `LIMBECK_X`; durations are seconds, sizes are bytes."""

    model_config = SettingsConfigDict(env_prefix="LIMBECK_", extra="ignore", frozen=True)

    home: Path = Field(Path(".limbeck"), description="Where everything lives that no other setting places.")
    database_url: str = Field("", description="SQLAlchemy URL; SQLite below `home` where empty.")
    redis_url: SecretStr = Field(SecretStr(""), description="Celery's broker; embedded mode where empty.")
    data_root: Path | None = Field(None, description="The only folder whose paths a client may name.")
    artefacts_url: str = Field("", description="fsspec URL of the artefact store; a folder below `home` where empty.")
    cache_dir: Path | None = Field(None, description="Decoded images and teacher features, per machine.")

    host: str = "127.0.0.1"
    port: int = Field(8420, ge=0, le=65535)
    max_body_bytes: int = Field(64 * 2**20, ge=1024, description="Largest request body, counted as it streams.")

    llm_base_url: str = Field("", description="Any OpenAI-compatible server; the openai library's default if empty.")
    llm_model: str = Field("", description="Model asked where a job names none.")
    llm_api_key: SecretStr = SecretStr("")
    llm_timeout_s: float = Field(60.0, gt=0)
    llm_max_attempts: int = Field(5, ge=1, le=20)
    llm_concurrency: int = Field(16, ge=1, le=512, description="Calls in flight per worker process.")
    llm_requests_per_min: int | None = Field(None, ge=1, description="To a server and model, by all workers.")
    llm_tokens_per_min: int | None = Field(None, ge=1, description="Likewise; estimated before each call.")
    llm_in_flight: int | None = Field(None, ge=1, description="Calls at a time, by all workers.")
    prices: Path | None = Field(
        None, description="Price file that adds to attributes/llm/prices.toml and overrides it."
    )
    llm_max_tokens: int = Field(700, ge=16)
    llm_temperature: float = Field(0.0, ge=0, le=2)
    strategies_dir: Path | None = Field(None, description="Folder of strategies of your own, a .toml file each.")

    nonvisual_words: Path | None = Field(None, description="File of further words that no picture shows, for checks.")

    lease_s: float = Field(30.0, gt=0, description="How long a silent worker keeps a part.")
    max_attempts: int = Field(4, ge=1, description="How often a part may be started before it fails.")
    sweep_s: float = Field(1.0, gt=0, description="How often the sweeper looks.")
    resend_s: float = Field(30.0, gt=0, description="After how long an unanswered message is sent again.")
    part_limit_s: float = Field(7 * 86400.0, gt=0, description="Longest run of one part.")
    enrich_chunk: int = Field(64, ge=1, le=4096, description="Labels per part of an enrich job.")

    @field_validator("home", "data_root", "cache_dir", "strategies_dir", "prices", "nonvisual_words")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().resolve() if path else path

    @property
    def distributed(self) -> bool:
        """Whether parts reach workers through Celery rather than the embedded loop."""
        return bool(self.redis_url.get_secret_value())

    @cached_property
    def database(self) -> str:
        """The database URL in use. A bare `postgresql://` means psycopg 3."""
        url = self.database_url or f"sqlite:///{self.home / 'limbeck.db'}"
        for bare in ("postgresql://", "postgres://"):
            if url.startswith(bare):
                return "postgresql+psycopg://" + url.removeprefix(bare)
        return url

    @property
    def data(self) -> Path:
        """The operator's data root."""
        return self.data_root or self.home / "data"

    @property
    def artefacts(self) -> str:
        """fsspec URL of the artefact store."""
        return self.artefacts_url or f"file://{self.home / 'artefacts'}"

    @property
    def cache(self) -> Path:
        """This machine's cache; deleting it costs time only."""
        return self.cache_dir or self.home / "cache"
