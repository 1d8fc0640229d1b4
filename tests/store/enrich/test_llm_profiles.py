"""What was learned about models, and outages. On both databases."""

import time

from store.enrich import llm_profiles
from tests.workers.enrich_bench import Bench


def test_the_last_saved_profile_is_read_until_it_expires_or_is_reset(bench: Bench) -> None:
    soon = time.time() + 60
    with bench.db.write() as tx:
        for model in ("m", "n"):
            for level in ("json_schema", "prose"):
                llm_profiles.save(tx, base_url="u", model=model, profile={"level": level}, expires_at=soon)
        llm_profiles.save(tx, base_url="u", model="old", profile={}, expires_at=time.time() - 1)
        stored = llm_profiles.get(tx, base_url="u", model="m")
        assert stored is not None
        assert (stored.profile, stored.expires_at) == ({"level": "prose"}, soon)
        assert llm_profiles.get(tx, base_url="u", model="old") is None
        assert [one.model for one in llm_profiles.list_all(tx)] == ["m", "n"]
        assert llm_profiles.reset(tx, base_url="u", model="m")
        assert not llm_profiles.reset(tx, base_url="u", model="m")
        assert [one.model for one in llm_profiles.list_all(tx)] == ["n"]


def test_an_outage_continues_until_a_gap_or_a_response(bench: Bench) -> None:
    now, place = time.time(), {"base_url": "u", "model": "m"}
    with bench.db.write() as tx:
        assert llm_profiles.record_outage(tx, **place, since=now - 100, gap_s=60) == now - 100
        assert llm_profiles.record_outage(tx, **place, since=now + 50, gap_s=60) == now - 100
        assert llm_profiles.record_outage(tx, **place, since=now + 500, gap_s=60) == now + 500
        assert llm_profiles.record_outage(tx, **place, since=now + 510, gap_s=600) == now + 500
        later = {"since": now + 520, "gap_s": 600, "last_success_at": now + 515}
        assert llm_profiles.record_outage(tx, **place, **later) == now + 520
        # A wait that the server asked for is no gap.
        assert llm_profiles.record_outage(tx, **place, since=now + 530, gap_s=600, retry_in_s=3_600) == now + 520
        assert llm_profiles.record_outage(tx, **place, since=now + 3_700, gap_s=600) == now + 520
