"""Turn a list of labels into visual text: ask an LLM what each label looks like, check it, keep it exchangeable.

Useful alone: `python -m attributes labels.txt --domain birds --base-url URL --model NAME --out set.json`. Knows no
database, no web framework and no torch. Only `attributes.wire` loads the openai library, and only when the first
call is made, so that importing this room stays cheap:

    types       what a label, a line and an entry are            text     cleaning, caps, comparing of short text
    strategy    prompts as files, requests and their cache keys  answers  from an LLM's answer to an entry
    calls       settings, ledger, outcomes                       ladder   which form of request a server understands
    wire        one HTTP attempt                                 client   the owner of retries; many labels at once
    checks      flags on an entry                                formats  exchange files
"""

from attributes.types import Entry, Label, Line

__all__ = ["Entry", "Label", "Line"]
