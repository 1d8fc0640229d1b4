"""Single-flight locks: one owner per key, release, expiry, and no deadlocks. On both databases."""

import random
import threading

import pytest

from store.db import Database
from store.enrich import single_flight

KEYS = [f"key {n:03}" for n in range(40)]


def acquire(db: Database, owner: str, keys: list[str], *, lease_s: float = 30) -> set[str]:
    with db.write() as tx:
        return single_flight.acquire(tx, owner, keys, lease_s=lease_s)


def test_a_key_has_one_owner_until_it_is_released(db: Database) -> None:
    assert acquire(db, "one", KEYS[:3]) == set(KEYS[:3])
    assert acquire(db, "other", KEYS[1:5]) == set(KEYS[3:5])
    assert acquire(db, "one", KEYS[:3]) == set(KEYS[:3])  # a retried part still owns its locks
    with db.write() as tx:
        single_flight.release(tx, "other", KEYS[:2])  # key 1 is locked by "one"
        single_flight.release(tx, "one", KEYS[:1])
        assert single_flight.locked_keys(tx, KEYS[:6]) == set(KEYS[1:5])
    assert acquire(db, "other", KEYS[:2]) == {KEYS[0]}
    with db.write() as tx:
        single_flight.release(tx, "one")
        assert single_flight.locked_keys(tx, KEYS) == {KEYS[0], *KEYS[3:5]}


def test_an_expired_lock_can_be_acquired(db: Database) -> None:
    acquire(db, "one", KEYS[:2], lease_s=-1)
    with db.read() as tx:
        assert single_flight.locked_keys(tx, KEYS) == set()
    assert acquire(db, "other", KEYS[:2]) == set(KEYS[:2])
    with db.write() as tx:
        single_flight.renew(tx, "one", lease_s=30)
        single_flight.renew(tx, "other", lease_s=-1)
        single_flight.delete_expired(tx, older_than_s=0)
    assert acquire(db, "third", KEYS[:2]) == set(KEYS[:2])


@pytest.mark.parametrize("seed", range(2))
def test_concurrent_owners_of_the_same_keys(db: Database, seed: int) -> None:
    """Owners acquire, renew and release keys in random order: each key has one owner at a time, without deadlocks."""
    owner_of: dict[str, str] = {}
    lock, errors = threading.Lock(), list[BaseException]()

    def work(owner: str) -> None:
        rng = random.Random(f"{seed} {owner}")
        try:
            for _ in range(8):
                acquired = acquire(db, owner, rng.sample(KEYS, len(KEYS)))
                with lock:
                    assert not acquired & owner_of.keys()
                    owner_of.update(dict.fromkeys(acquired, owner))
                with db.write() as tx:
                    single_flight.renew(tx, owner, lease_s=30)
                with lock:
                    for key in acquired:
                        del owner_of[key]
                with db.write() as tx:
                    single_flight.release(tx, owner, rng.sample(sorted(acquired), len(acquired)))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
