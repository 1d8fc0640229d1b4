"""The LLM of a job: stored response format, unknown prices and missing strategies."""

import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from attributes.llm.model_profile import ModelProfile
from store.enrich import llm_profiles
from store.jobs.specs import DescribeSpec
from tests.job_specs import describe_spec
from tests.workers.enrich_bench import Bench
from workers.enrich import llm_settings
from workers.runtime.context import Context
from workers.runtime.errors import FatalJobError


def test_a_job_starts_with_what_all_workers_have_learned(bench_on_sqlite: Bench) -> None:
    context = bench_on_sqlite.context
    llm = llm_settings.resolve(context, describe_spec(model="m")).settings
    learned: list[tuple[str, str]] = []
    first = llm_settings.learned_profiles(context, llm, lambda base_url, model, *_: learned.append((base_url, model)))
    lower = first.profile(llm).lower()
    assert lower is not None
    place = {"base_url": llm.base_url, "model": "m"}
    with context.db.write() as tx:
        llm_profiles.save(tx, **place, profile=lower.as_json(), expires_at=time.time() + 60)
    assert llm_settings.learned_profiles(context, llm, lambda *_: None).profile(llm) == lower
    with context.db.write() as tx:
        llm_profiles.save(tx, **place, profile=lower.as_json(), expires_at=time.time() - 1)
    assert llm_settings.learned_profiles(context, llm, lambda *_: None).profile(llm) == ModelProfile()
    assert learned == []


def _context_with(bench: Bench, **settings: object) -> Context:
    context = bench.context
    changed = context.settings.model_copy(update=settings)
    return Context(changed, context.db, context.artefacts, context.shutting_down)


def test_the_operators_azure_version_and_headers_reach_the_client(bench_on_sqlite: Bench) -> None:
    headers = SecretStr('{"X-Gateway": "secret-token"}')
    context = _context_with(bench_on_sqlite, llm_api_version="2024-10-21", llm_headers=headers)
    llm = llm_settings.resolve(context, describe_spec(model="m")).settings
    assert (llm.api_version, llm.extra_headers()) == ("2024-10-21", {"X-Gateway": "secret-token"})


def test_invalid_headers_fail_the_job_without_showing_them(bench_on_sqlite: Bench) -> None:
    with pytest.raises(FatalJobError, match="JSON object") as caught:
        llm_settings.resolve(
            _context_with(bench_on_sqlite, llm_headers=SecretStr("secret-token")), describe_spec(model="m")
        )
    assert caught.value.code == "enrich_misconfigured"
    assert "secret-token" not in f"{caught.value} {caught.value.__cause__}"


def test_a_proxy_or_ca_file_that_cannot_be_used_fails_the_job_in_one_line(
    bench_on_sqlite: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = _context_with(bench_on_sqlite, llm_ca_file=tmp_path / "missing.pem")
    monkeypatch.setenv("HTTP_PROXY", "socks4://user:secret-word@127.0.0.1:7890")
    for context, words in ((missing, "HTTP_PROXY: "), (bench_on_sqlite.context, "write socks5://127.0.0.1:7890")):
        with pytest.raises(FatalJobError, match=words) as caught:
            llm_settings.resolve(context, describe_spec(model="m"))
        assert caught.value.code == "enrich_misconfigured"
        assert "secret-word" not in str(caught.value)
    monkeypatch.delenv("HTTP_PROXY")
    with pytest.raises(FatalJobError, match="LIMBECK_LLM_CA_FILE: there is no file"):
        llm_settings.resolve(missing, describe_spec(model="m"))


def test_only_a_budget_in_dollars_needs_a_price(bench_on_sqlite: Bench) -> None:
    context = bench_on_sqlite.context
    assert llm_settings.resolve(context, describe_spec(model="unheard-of", budget_tokens=10)).price is None
    spec: DescribeSpec = describe_spec(model="unheard-of", budget_usd="1")
    with pytest.raises(
        FatalJobError, match="the price of unheard-of at http://stand-in/v1 .LIMBECK_LLM_BASE_URL. is not known"
    ):
        llm_settings.resolve(context, spec)


def test_an_unknown_strategy_fails_the_job(bench_on_sqlite: Bench) -> None:
    with pytest.raises(FatalJobError, match="nonesuch") as caught:
        llm_settings.strategies(bench_on_sqlite.context, describe_spec(strategies=("nonesuch@1",)))
    assert caught.value.code == "enrich_misconfigured"
