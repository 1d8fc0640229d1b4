"""The endpoints file: every fault names the file, the table and the field, and no message shows a secret."""

from pathlib import Path

import pytest

from attributes.endpoints.endpoint import EndpointError
from attributes.endpoints.endpoint_file import read_endpoints


def fault(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "endpoints.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(EndpointError) as caught:
        read_endpoints(path)
    message = str(caught.value)
    assert message.startswith(f"endpoints file {path}")
    assert "\n" not in message
    return message.removeprefix(f"endpoints file {path}")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.toml"
    path.write_text('[[endpoint]]\nname = "a"\nca_file = "ca.pem"\napi_key_file = "/run/secrets/key"\n')
    (endpoint,) = read_endpoints(path)
    assert endpoint.ca_file == tmp_path / "ca.pem"
    assert endpoint.api_key_file == Path("/run/secrets/key")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('base_url = "http://x/v1"', "name: is missing"),
        ('name = "a b"', "name: must be 1 to 64 letters"),
        ('name = "Default"', "is the endpoint of the LIMBECK_LLM_* variables"),
        ('name = "a"\nbase_url = "localhost:8080"', "base_url: must be an http:// or https:// address"),
        ('name = "a"\ntimeout_s = 0', "timeout_s: Input should be greater than 0"),
        ('name = "a"\nin_flight = 0', "in_flight: Input should be greater than or equal to 1"),
        ('name = "a"\ntop_p = 2', "top_p: Input should be less than or equal to 1"),
        ('name = "a"\ntimout_s = 5', "timout_s: is not a field; did you mean timeout_s?"),
        ('name = "a"\nmodel = "m"\nmodels = ["n"]', "model 'm' is not among models; add it there"),
        ('name = "a"\nmodels = [" "]', "models: has a blank name"),
        ('name = "a"\nextra_body = { model = "x" }', "extra_body: must not set 'model'"),
        ('name = "a"\nextra_body = { since = 2024-01-01 }', "extra_body: has a value that JSON does not have"),
        ('name = "a"\nextra_body = "[1]"', "extra_body: must be a JSON object"),
        ('name = "a"\nprices = { m = { input = "1" } }', "prices: m: must give input and output"),
        ('name = "a"\nprices = { m = { input = "x", output = "1" } }', "prices: m: input: 'x' must be a number"),
        ('name = "a"\nbatch = "half"', "prices: batch: 'half' must be a number"),
        ('name = "a"\napi_key_env = "K"\napi_key_file = "k"', "api_key_env and api_key_file are both given"),
    ],
)
def test_a_fault_names_its_table_and_field(table: str, message: str, tmp_path: Path) -> None:
    found = fault(tmp_path, f'[[endpoint]]\nname = "first"\n[[endpoint]]\n{table}\n')
    assert found.startswith(": endpoint 2")
    assert message in found


def test_two_endpoints_need_two_names(tmp_path: Path) -> None:
    found = fault(tmp_path, '[[endpoint]]\nname = "Local"\n[[endpoint]]\nname = "local"\n')
    assert found == ": endpoint 2 (local): name: is also the name of endpoint 1; give each its own"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[[endpoint]\n", "is not TOML"),
        (b'[[endpoint]]\nname = "\xff"', "is not UTF-8 (byte"),
        (b"", "must hold [[endpoint]] tables"),
        (b"[endpoint]\nname = 'a'", "must hold [[endpoint]] tables"),
        (b"[[endpoints]]\nname = 'a'", "must hold [[endpoint]] tables"),
        (b"endpoint = [1]", "must hold [[endpoint]] tables"),
    ],
)
def test_a_file_that_is_no_endpoints_file(text: bytes, message: str, tmp_path: Path) -> None:
    assert message in fault(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match=r"none\.toml cannot be read: No such file"):
        read_endpoints(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ('api_key = "sk-hunter2"', "api_key_env"),
        ('headers = "{\\"X\\": \\"sk-hunter2\\"}"', "headers_env"),
        ('headers = { Authorization = "sk-hunter2" }', "headers_env"),
        ('proxy = "http://me:sk-hunter2@proxy:3128"', "proxy_env"),
        ('proxy = "me:sk-hunter2@proxy:3128"', "proxy_env"),
        ('api_key_env = "sk-hunter2"', "the name of an environment variable, not its value"),
        ('base_url = "https://me:sk-hunter2@host/v1"', "must not contain a user"),
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_shown(line: str, instead: str, tmp_path: Path) -> None:
    found = fault(tmp_path, f'[[endpoint]]\nname = "a"\n{line}\n')
    assert instead in found
    assert "hunter2" not in found
