"""Passwords beside the URLs of Postgres and Redis, and URLs that an unescaped password breaks."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import kombu
import psycopg
import pytest
import redis
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.engine import make_url

from store.db import Database
from store.errors import SettingInvalid
from store.settings import Settings, with_password
from tests.conftest import skip_or_fail

PASSWORDS = ["letters", "p@ss", "a/b", "a:b", "50%", "%41", "a#b?c=d&e", "space and +", "$HOME'\"\\", "ü€", "[::1]@"]
SECRET = "hush@hush/hush"


@pytest.mark.parametrize("password", PASSWORDS)
def test_drivers_get_the_password_as_it_is(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_DATABASE_URL", "postgresql://user@host:5433/name?connect_timeout=3")
    monkeypatch.setenv("LIMBECK_DATABASE_PASSWORD", password)
    monkeypatch.setenv("LIMBECK_REDIS_URL", "redis://host:6380/2")
    monkeypatch.setenv("LIMBECK_REDIS_PASSWORD", password)
    settings = Settings()
    url = make_url(settings.database)
    assert (url.username, url.password, url.host, url.port, url.database) == ("user", password, "host", 5433, "name")
    assert url.query == {"connect_timeout": "3"}
    kwargs = redis.Redis.from_url(settings.broker).connection_pool.connection_kwargs
    assert [kwargs[name] for name in ("password", "host", "port", "db")] == [password, "host", 6380, 2]
    celery = kombu.Connection(settings.broker)
    assert [celery.password, celery.hostname, celery.port, celery.virtual_host] == [password, "host", 6380, "2"]
    assert password not in repr(settings)


def test_a_postgres_session_has_it(postgres_url: str) -> None:
    """The server of the tests may accept any password; libpq says which one it was given."""
    plain = make_url(postgres_url).set(password=None).render_as_string()
    database = Database(Settings(database_url=plain, database_password=SECRET).database)  # type: ignore[arg-type]
    with database.reader.connect() as connection:
        assert connection.execute(text("select 1")).scalar() == 1
        session = connection.connection.dbapi_connection
        assert isinstance(session, psycopg.Connection)
        assert session.info.password == SECRET
    database.dispose()


@pytest.fixture
def redis_port() -> Iterator[int]:
    """A Redis server that wants `SECRET`."""
    if not shutil.which("redis-server"):
        skip_or_fail("Redis", "redis-server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--save", "", "--requirepass", SECRET]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        yield port
        server.terminate()


def test_redis_accepts_it(redis_port: int) -> None:
    settings = Settings(redis_url=f"redis://127.0.0.1:{redis_port}/1", redis_password=SECRET)  # type: ignore[arg-type]
    client = redis.Redis.from_url(settings.broker)
    for _ in range(200):
        try:
            assert client.ping()
            break
        except redis.exceptions.ConnectionError:
            time.sleep(0.02)
    with kombu.Connection(settings.broker) as celery:
        celery.ensure_connection(max_retries=1)
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis.from_url(settings.redis_url.get_secret_value()).ping()
    client.close()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"database_url": "postgresql://u:other@h/d", "database_password": SECRET}, "the URL has a password too"),
        ({"database_url": "postgresql://h/d", "database_password": SECRET}, "the URL names none"),
        ({"database_url": "", "database_password": SECRET}, "belongs to a URL such as postgresql"),
        ({"database_url": "sqlite:///d.db", "database_password": SECRET}, "belongs to a URL such as"),
        ({"redis_url": "redis://:other@h/0", "redis_password": SECRET}, "the URL has a password too"),
        ({"redis_url": "", "redis_password": SECRET}, "belongs to a URL such as"),
        ({"redis_url": f"redis://:{SECRET}#x@h:6379/0"}, "LIMBECK_REDIS_PASSWORD"),
        ({"redis_url": "h:6379/0?x"}, "is not a URL such as redis"),
    ],
)
def test_a_password_without_its_url(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        Settings(**fields)  # type: ignore[arg-type]
    error = caught.value.errors(include_input=False, include_url=False)[0]
    assert SECRET not in error["msg"]


@pytest.mark.parametrize(
    "url", ["postgresql://u:p@ss@h:5432/d", "postgresql://u:@@h/d", "postgresql://u:p@ss/w:rd@h:5432/d"]
)
def test_an_unescaped_at_sign_is_named(url: str) -> None:
    with pytest.raises(SettingInvalid, match="LIMBECK_DATABASE_PASSWORD") as caught:
        Database(url)
    assert not any(part in str(caught.value) for part in ("ss@", "w:rd", "@@"))


def test_no_password_changes_nothing() -> None:
    assert with_password("redis://h/0", "") == "redis://h/0"
    assert with_password("", "") == ""
