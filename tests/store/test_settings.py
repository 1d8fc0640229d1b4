"""Settings that are derived from other settings."""

import pytest
from pydantic import ValidationError

from store.settings import Settings


@pytest.mark.parametrize("url", ["postgresql://u@h/d", "postgres://u@h/d"])
def test_a_plain_postgres_url_selects_psycopg(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_DATABASE_URL", url)
    assert Settings().database == "postgresql+psycopg://u@h/d"


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compose file passes every variable, also those that the operator has not set."""
    for name in ("TOP_P", "SEED", "EXTRA_BODY", "CA_FILE", "ENDPOINTS", "OUTAGE_LIMIT_S", "REQUESTS_PER_MIN"):
        monkeypatch.setenv(f"LIMBECK_LLM_{name}", "")
    settings = Settings()
    assert (settings.llm_top_p, settings.llm_endpoints, settings.llm_outage_limit_s) == (None, None, 600.0)


def test_the_default_endpoint_has_every_llm_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_LLM_MODEL", "m")
    monkeypatch.setenv("LIMBECK_LLM_SEED", "7")
    monkeypatch.setenv("LIMBECK_LLM_ENDPOINTS", "endpoints.toml")
    settings = Settings()
    assert (settings.llm["model"], settings.llm["seed"]) == ("m", 7)
    assert "endpoints" not in settings.llm
    assert settings.llm_endpoints is not None
    assert settings.llm_endpoints.is_absolute()


def test_the_loggers_of_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().loggers == ()
    monkeypatch.setenv("LIMBECK_TENSORBOARD_DIR", "events")
    monkeypatch.setenv("LIMBECK_LOG_TO", "mlflow,wandb")
    assert Settings().loggers == ("tensorboard", "wandb", "mlflow")
    for text, message in (("tensorboard", "LIMBECK_TENSORBOARD_DIR"), ("comet", "there is no logger 'comet'")):
        monkeypatch.setenv("LIMBECK_LOG_TO", text)
        with pytest.raises(ValidationError, match=message):
            Settings()
