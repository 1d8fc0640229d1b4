"""Rows are found under their keys, for concurrent writers and next to damaged shards."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from distill.data.row_cache import RowCache, key_of, stack_keys


def _keys(names: list[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return stack_keys(key_of(name) for name in names)


def test_rows_are_returned_in_order_and_missing_ones_are_marked(tmp_path: Path) -> None:
    cache = RowCache(tmp_path / "rows", width=2, dtype=np.float32)
    cache.add(_keys(["a", "b", "c"]), np.array([[1, 1], [2, 2], [3, 3]], dtype=np.float32))
    cache.add(_keys(["d"]), np.array([[4, 4]], dtype=np.float32))
    rows, found = cache.get(_keys(["d", "x", "b", "b"]))
    assert found.tolist() == [True, False, True, True]
    assert rows[:, 0].tolist() == [4, 0, 2, 2]


def test_many_keys_round_trip(tmp_path: Path) -> None:
    keys = _keys([str(number) for number in range(5000)])
    values = np.arange(5000, dtype=np.float32)[:, None]
    RowCache(tmp_path, width=1, dtype=np.float32).add(keys, values)
    order = np.random.default_rng(0).permutation(5000)
    rows, found = RowCache(tmp_path, width=1, dtype=np.float32).get(keys[order])
    assert found.all()
    assert np.array_equal(rows, values[order])


def test_key_that_ends_in_zero_bytes_is_found(tmp_path: Path) -> None:
    cache = RowCache(tmp_path, width=1, dtype=np.float32)
    ends_in_zeros, shorter = b"k" * 30 + b"\0\0", b"k" * 30 + b"\0\1"
    cache.add(stack_keys([ends_in_zeros]), np.array([[7]], dtype=np.float32))
    rows, found = cache.get(stack_keys([shorter, ends_in_zeros]))
    assert found.tolist() == [False, True]
    assert rows[1, 0] == 7
    assert cache.keys() == {ends_in_zeros}


def test_empty_cache_finds_nothing_and_creates_no_folder(tmp_path: Path) -> None:
    cache = RowCache(tmp_path / "rows", width=3, dtype=np.float16)
    rows, found = cache.get(_keys(["a"]))
    assert rows.shape == (1, 3)
    assert not found.any()
    cache.add(_keys([]), np.zeros((0, 3), dtype=np.float16))
    assert not (tmp_path / "rows").exists()


def test_damaged_shard_is_a_miss(tmp_path: Path) -> None:
    cache = RowCache(tmp_path, width=1, dtype=np.float32)
    cache.add(_keys(["a"]), np.array([[1]], dtype=np.float32))
    shard = next(tmp_path.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-3])
    (tmp_path / "other.safetensors").write_bytes(b"not a shard")
    RowCache(tmp_path, width=5, dtype=np.float32).add(_keys(["a"]), np.ones((1, 5), dtype=np.float32))
    assert cache.get(_keys(["a"]))[1].tolist() == [False]
    cache.add(_keys(["a"]), np.array([[2]], dtype=np.float32))
    assert cache.get(_keys(["a"]))[0].tolist() == [[2]]


def test_concurrent_writers_lose_no_rows_and_leave_no_drafts(tmp_path: Path) -> None:
    def write(number: int) -> None:
        cache = RowCache(tmp_path, width=1, dtype=np.float32)
        cache.add(_keys([f"own {number}", "shared"]), np.array([[number], [99]], dtype=np.float32))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))
    wanted = _keys([*(f"own {number}" for number in range(24)), "shared"])
    rows, found = RowCache(tmp_path, width=1, dtype=np.float32).get(wanted)
    assert found.all()
    assert rows[:, 0].tolist() == [*range(24), 99]
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".safetensors"] == []


def test_boundaries_of_key_parts_change_the_key() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("a", b"b") == key_of(b"a", "b")
