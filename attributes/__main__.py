"""`python -m attributes labels.txt --domain birds --base-url URL --model NAME --out set.json`.

Describes a list of labels with an LLM: `attributes.cli.describe`.
"""

import sys

from limbeck.shared.parts import exit_if_part_is_missing

if __name__ == "__main__":
    with exit_if_part_is_missing("python -m attributes"):
        from attributes.cli.describe import main

        sys.exit(main())
