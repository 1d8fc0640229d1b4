"""Distil a large CLIP teacher into a small image model that still understands words (arXiv:2307.03135).

Useful alone: `python -m distill --help`. This module, `distill.config.train_config`, `distill.config.recipes`,
`distill.data.image_index`, `distill.texts.text_templates` and `distill.bundle.verify` import no torch, so that a web
process can say what a run is asked to do without loading it.
"""


class Stopped(Exception):
    """Work ended early because `should_stop()` said so; what was finished is kept, and starting again goes on."""
