"""Paths of typed requests."""

import pytest

from limbeck import Problem
from tests.limbeck.helpers import client
from tests.limbeck.scripted import problem, scripted


def test_an_id_is_quoted_in_the_path() -> None:
    with scripted([problem(404, "not_found")]) as server, client(server.url) as limbeck, pytest.raises(Problem):
        limbeck.jobs.get("../datasets?x")
    assert server.seen[0].path == "/v1/jobs/..%2Fdatasets%3Fx"
