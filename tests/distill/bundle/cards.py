"""The programs of a model card, for tests that run them."""

import re


def programs(card: str) -> dict[str, str]:
    """The program under each heading of the section "Usage"."""
    found = re.findall(r"^### ([^\n]+)\n(?:(?!^#).)*?```python\n(.*?)```", card, flags=re.DOTALL | re.MULTILINE)
    return dict(found)
