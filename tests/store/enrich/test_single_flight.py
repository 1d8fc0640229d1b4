"""Calls in flight, on both databases: one holder a key, let go, taken over, and no two that lock each other out."""

import random
import threading

import pytest

from store.db import Database
from store.enrich import single_flight

KEYS = [f"key {n:03}" for n in range(40)]


def take(db: Database, owner: str, keys: list[str], *, lease_s: float = 30) -> set[str]:
    with db.write() as tx:
        return single_flight.acquire(tx, owner, keys, lease_s=lease_s)


def test_a_key_has_one_holder_until_it_lets_go(db: Database) -> None:
    assert take(db, "one", KEYS[:3]) == set(KEYS[:3])
    assert take(db, "other", KEYS[1:5]) == set(KEYS[3:5])
    assert take(db, "one", KEYS[:3]) == set(KEYS[:3])  # begun again, it has what it held
    with db.write() as tx:
        single_flight.release(tx, "other", KEYS[:2])  # not its own
        single_flight.release(tx, "one", KEYS[:1])
        assert single_flight.locked_keys(tx, KEYS[:6]) == set(KEYS[1:5])
    assert take(db, "other", KEYS[:2]) == {KEYS[0]}
    with db.write() as tx:
        single_flight.release(tx, "one")
        assert single_flight.locked_keys(tx, KEYS) == {KEYS[0], *KEYS[3:5]}


def test_a_silent_holder_is_followed_by_the_next(db: Database) -> None:
    take(db, "one", KEYS[:2], lease_s=-1)
    with db.read() as tx:
        assert single_flight.locked_keys(tx, KEYS) == set()
    assert take(db, "other", KEYS[:2]) == set(KEYS[:2])
    with db.write() as tx:
        single_flight.renew(tx, "one", lease_s=30)
        single_flight.renew(tx, "other", lease_s=-1)
        single_flight.delete_expired(tx, older_than_s=0)
    assert take(db, "third", KEYS[:2]) == set(KEYS[:2])


@pytest.mark.parametrize("seed", range(2))
def test_many_at_once_over_the_same_keys(db: Database, seed: int) -> None:
    """Takers in any order of keys, with renewals and releases in between: each key is held by one at a time."""
    holder: dict[str, str] = {}
    lock, errors = threading.Lock(), list[BaseException]()

    def work(owner: str) -> None:
        chance = random.Random(f"{seed} {owner}")
        try:
            for _ in range(8):
                mine = take(db, owner, chance.sample(KEYS, len(KEYS)))
                with lock:
                    assert not mine & holder.keys()
                    holder.update(dict.fromkeys(mine, owner))
                with db.write() as tx:
                    single_flight.renew(tx, owner, lease_s=30)
                with lock:
                    for key in mine:
                        del holder[key]
                with db.write() as tx:
                    single_flight.release(tx, owner, chance.sample(sorted(mine), len(mine)))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
