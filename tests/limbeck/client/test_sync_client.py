"""The synchronous client is the translation of the asynchronous one."""

from tests.limbeck.sync_client import BY_HAND, TARGET, generated_files


def test_the_synchronous_client_is_generated_from_the_asynchronous_one() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in TARGET.glob("*.py") if path.name not in BY_HAND}
    assert written == generated_files(), "run: python -m tests.limbeck.sync_client"
