"""`python -m attributes labels.txt --domain birds --base-url URL --model NAME --out set.json`.

Describes a list of labels with an LLM: `attributes.cli.describe`.
"""

import sys

from attributes.cli.describe import main

if __name__ == "__main__":
    sys.exit(main())
