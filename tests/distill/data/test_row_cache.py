"""Rows are found under their keys, for concurrent writers and next to damaged shards."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

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


def test_keys_that_differ_after_their_first_bytes_and_repeated_keys_are_told_apart(tmp_path: Path) -> None:
    cache = RowCache(tmp_path, width=1, dtype=np.float32)
    keys = np.zeros((6, 32), dtype=np.uint8)
    keys[:, 31] = [3, 1, 2, 5, 4, 1]
    for start in (0, 3):
        cache.add(
            keys[start : start + 3], np.array([[30], [10], [20], [50], [40], [10]], np.float32)[start : start + 3]
        )
    wanted = np.zeros((6, 32), dtype=np.uint8)
    wanted[:, 31] = [5, 1, 9, 1, 4, 0]
    rows, found = cache.get(wanted)
    assert rows[:, 0].tolist() == [50, 10, 0, 10, 40, 0]
    assert found.tolist() == [True, True, False, True, True, False]


def test_opening_reads_no_rows_and_only_used_shards_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Path] = []
    monkeypatch.setattr("distill.data.row_cache.mark_used", used.append)
    cache = RowCache(tmp_path, width=3, dtype=np.float16)
    for name in "ab":
        cache.add(_keys([name]), np.ones((1, 3), dtype=np.float16))
    opened = cache.open(_keys(["b", "c"]))
    assert opened.found.tolist() == [True, False]
    assert len(used) == 1
    for shard in tmp_path.iterdir():  # the mapped memory outlives the file
        shard.unlink()
    assert opened.read().tolist() == [[1, 1, 1], [0, 0, 0]]


def test_a_shard_of_another_type_is_ignored(tmp_path: Path) -> None:
    RowCache(tmp_path, width=1, dtype=np.float32).add(_keys(["a"]), np.ones((1, 1), dtype=np.float32))
    _, found = RowCache(tmp_path, width=1, dtype=np.float16).get(_keys(["a"]))
    assert not found.any()
