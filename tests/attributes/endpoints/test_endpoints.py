"""Resolution of endpoint and model: settings, limits, prices, secrets, and messages for unknown names."""

from pathlib import Path
from typing import Any

import pytest

from attributes.endpoints.endpoint import EndpointError
from attributes.endpoints.endpoints import EndpointRequestError, RateLimits
from attributes.llm.costs.prices import PriceError
from tests.attributes.endpoints.conftest import FILE, SECRETS, MakeEndpoints


def test_the_variables_are_the_default_endpoint(make_endpoints: MakeEndpoints) -> None:
    operator = {"model": "gpt-4o-mini", "base_url": "", "requests_per_min": 9, "top_p": 0.5, "seed": 3}
    endpoints = make_endpoints(None, llm=operator)
    for name in (None, "default"):
        resolved = endpoints.resolve(name, with_secrets=True)
        assert (resolved.endpoint, resolved.settings.model) == ("default", "gpt-4o-mini")
        assert resolved.settings.extra_parameters() == {"top_p": 0.5, "seed": 3}
        assert resolved.limits == RateLimits(requests_per_min=9)
        assert resolved.price is not None
    assert endpoints.resolve(None, "gpt-4o", with_secrets=True).settings.model == "gpt-4o"


def test_each_endpoint_has_its_own_settings_limits_and_prices(make_endpoints: MakeEndpoints) -> None:
    endpoints = make_endpoints()
    assert [endpoint.name for endpoint in endpoints] == ["default", "local", "azure"]
    local, azure = (endpoints.resolve(name, with_secrets=True) for name in ("local", "azure"))
    assert (local.settings.base_url, local.settings.timeout_s) == ("http://127.0.0.1:8080/v1", 300)
    assert local.settings.extra_parameters() == {"chat_template_kwargs": {"enable_thinking": False}}
    assert (local.limits.in_flight, local.settings.concurrency) == (4, 8)
    assert azure.settings.model == "gpt-4o-birds"  # the only allowed one
    assert azure.settings.timeout_s == 60  # not that of another endpoint
    assert azure.limits == RateLimits(requests_per_min=60)
    assert local.price is not None
    assert local.price.cost(prompt_tokens=10, completion_tokens=10) == 0
    assert azure.price is not None
    assert azure.price.cost(prompt_tokens=1, completion_tokens=0) == 2_500_000
    assert azure.price.cost(prompt_tokens=1, completion_tokens=0, batch=True) == 1_250_000
    assert endpoints.resolve("local", "gemma-2", with_secrets=True).price is None  # unknown, not 0


def test_secrets_are_read_only_for_calls_and_never_shown(make_endpoints: MakeEndpoints) -> None:
    settings = make_endpoints().resolve("azure", with_secrets=True).settings
    assert settings.api_key.get_secret_value() == SECRETS["AZURE_KEY"]
    assert settings.extra_headers() == {"X-Team": "hidden-team"}
    assert settings.proxy.get_secret_value() == SECRETS["PROXY"]
    assert not any(secret in repr(settings) for secret in ("azure-secret-key", "hidden-team", "pw@"))
    bare = make_endpoints(environment={}).resolve("azure", with_secrets=False).settings
    assert (bare.api_key.get_secret_value(), bare.headers.get_secret_value()) == ("", "")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "endpoint 'azure': the environment variable AZURE_KEY (api_key_env) is not set here"),
        ({**SECRETS, "AZURE_KEY": " "}, "AZURE_KEY"),
        ({**SECRETS, "AZURE_HEADERS": "hunter2"}, "endpoint 'azure': headers must be a JSON object"),
        ({**SECRETS, "AZURE_KEY": "hunter2 ☃"}, "endpoint 'azure': api_key has characters"),
    ],
)
def test_a_missing_or_wrong_secret_is_named(
    environment: dict[str, str], message: str, make_endpoints: MakeEndpoints
) -> None:
    endpoints = make_endpoints(environment=environment)
    endpoints.resolve("local", with_secrets=True)  # others are not affected
    with pytest.raises(EndpointError) as caught:
        endpoints.resolve("azure", with_secrets=True)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_key_file_is_stripped_and_its_faults_are_named(make_endpoints: MakeEndpoints, tmp_path: Path) -> None:
    endpoints = make_endpoints('[[endpoint]]\nname = "a"\nmodel = "m"\napi_key_file = "key"\n')
    with pytest.raises(EndpointError, match=r"endpoint 'a': the key file .*/key \(api_key_file\) cannot be read"):
        endpoints.resolve("a", with_secrets=True)
    (tmp_path / "key").write_text("\n")
    with pytest.raises(EndpointError, match="is empty"):
        endpoints.resolve("a", with_secrets=True)
    (tmp_path / "key").write_text("from-a-file\n")
    assert endpoints.resolve("a", with_secrets=True).settings.api_key.get_secret_value() == "from-a-file"


def test_what_keeps_calls_from_an_endpoint_is_known_before_a_job(make_endpoints: MakeEndpoints, tmp_path: Path) -> None:
    text = """
    [[endpoint]]
    name = "certificates"
    base_url = "https://llm.example/v1"
    ca_file = "missing.pem"
    [[endpoint]]
    name = "key"
    models = ["m", "n"]
    api_key_env = "NO_SUCH_KEY"
    [[endpoint]]
    name = "usable"
    """
    faults = make_endpoints(text, llm={}).faults()
    assert set(faults) == {"certificates", "key"}
    assert faults["certificates"].startswith(
        f"endpoint 'certificates': ca_file: there is no file {tmp_path}/missing.pem"
    )
    assert "NO_SUCH_KEY (api_key_env)" in faults["key"]
    assert make_endpoints(text, llm={}).resolve("certificates", "m", with_secrets=False).settings.model == "m"


@pytest.mark.parametrize(
    ("name", "model", "code", "message"),
    [
        ("Azur", None, "endpoint_unknown", "there is no endpoint 'Azur'; did you mean azure?"),
        ("q", None, "endpoint_unknown", "there is no endpoint 'q'; the endpoints are default, local, azure"),
        (
            "azure",
            "gpt-4o-bird",
            "model_not_allowed",
            "does not allow the model 'gpt-4o-bird'; did you mean gpt-4o-birds?",
        ),
        ("azure", "x", "model_not_allowed", "its models are gpt-4o-birds"),
    ],
)
def test_unknown_names_are_answered_with_near_ones(
    name: str, model: str | None, code: str, message: str, make_endpoints: MakeEndpoints
) -> None:
    with pytest.raises(EndpointRequestError) as caught:
        make_endpoints().resolve(name, model, with_secrets=False)
    assert caught.value.code == code
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (None, FILE, "name a model, or an endpoint: local, azure; the operator has set none (LIMBECK_LLM_MODEL)"),
        (None, None, "name a model; the operator has set none (LIMBECK_LLM_MODEL)"),
        ("a", '[[endpoint]]\nname = "a"', "name a model; the endpoint 'a' has no default"),
        ("a", '[[endpoint]]\nname = "a"\nmodels = ["m", "n"]', "name a model of the endpoint 'a': m, n"),
    ],
)
def test_a_missing_model_names_the_choices(
    name: str | None, text: str | None, message: str, make_endpoints: MakeEndpoints
) -> None:
    with pytest.raises(EndpointRequestError) as caught:
        make_endpoints(text, llm={}).resolve(name, with_secrets=False)
    assert caught.value.code == "model_missing"
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"extra_body": "{"}, "LIMBECK_LLM_EXTRA_BODY: must be a JSON object"),
        ({"base_url": "host"}, "LIMBECK_LLM_BASE_URL: must be an http:// or https:// address"),
        ({"api_version": "a b"}, "LIMBECK_LLM_API_VERSION: must be a version"),
    ],
)
def test_a_fault_in_a_variable_names_it(fields: dict[str, Any], message: str, make_endpoints: MakeEndpoints) -> None:
    with pytest.raises(EndpointError) as caught:
        make_endpoints(None, llm=fields)
    assert str(caught.value).startswith(message)


def test_an_endpoint_overrides_the_price_file(make_endpoints: MakeEndpoints, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    table = '{ gemma = { input = "3", output = "3" }, other = { input = "3", output = "3" } }'
    prices.write_text(f'[[price]]\nbase_url = "http://127.0.0.1:8080/v1"\nmodels = {table}\n')
    endpoints = make_endpoints(prices=prices)
    found = [endpoints.resolve("local", model, with_secrets=False).price for model in ("gemma", "other")]
    assert [price and price.cost(prompt_tokens=1, completion_tokens=0) for price in found] == [0, 3_000_000]
    prices.write_text("[[price")
    with pytest.raises(PriceError, match="cannot be read"):
        make_endpoints(prices=prices)
