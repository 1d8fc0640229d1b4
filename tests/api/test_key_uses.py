"""The time of the last use of a key."""

from sqlalchemy import event

from store.access import api_keys
from tests.api.conftest import Service, bearer, create_key


def test_the_last_use_is_written_once_a_minute(service: Service) -> None:
    headers = bearer(create_key(service, "read"))
    statements: list[str] = []
    event.listen(service.db.writer, "before_cursor_execute", lambda _c, _k, sql, *_: statements.append(sql))
    for _ in range(3):
        assert service.http.get("/v1/jobs", headers=headers).status_code == 200
    service.http.__exit__(None, None, None)  # the shutdown waits for the write
    service.http.__enter__()
    assert len([sql for sql in statements if "last_used_at" in sql]) == 1
    with service.db.write() as tx:
        (key,) = api_keys.list_keys(tx)
        used_at = key.last_used_at
        assert used_at is not None
        api_keys.note_use(tx, key.id, at=used_at + 59, every_s=60)
        assert api_keys.get(tx, key.id).last_used_at == used_at
        api_keys.note_use(tx, key.id, at=used_at + 61, every_s=60)
        tx.expire_all()
        assert api_keys.get(tx, key.id).last_used_at == used_at + 61
