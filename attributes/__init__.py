"""Turn a list of labels into visual text: ask an LLM what each label looks like, check it, keep it exchangeable.

Useful alone: `python -m attributes labels.txt --domain birds --base-url URL --model NAME --out set.json`. Knows no
database, no web framework and no torch. Only `attributes.llm.transport` loads the openai library, and only when the
first call is made, so that importing this room stays cheap:

    types       what a label, a line and an entry are            text     cleaning, caps, comparing of short text
    strategy    prompts as files                                 asks     questions, their requests and cache keys
    settings    which server, and how                            calls    ledger, outcomes
    answers     from an LLM's answer to lines                    contrast what tells two labels apart
    ladder      which form of request a server understands       limits   calls a minute, calls in flight, and spending
    asking      one question, its retries and corrections        wire     one HTTP attempt
    client      many questions at once                           batch    many questions in files, at half the price
    checks      flags on an answer                               formats  exchange files
    gates/      what is wrong with a set                         check    `python -m attributes.cli.check_gates
    set.json`
"""

from attributes.types import Entry, Label, Line

__all__ = ["Entry", "Label", "Line"]
