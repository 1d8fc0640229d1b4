"""Distil a large CLIP teacher into a small image model that still classifies by text (arXiv:2307.03135).

Usable without the service: `python -m distill --help`. This module, `distill.hooks`, `distill.config`,
`distill.data.image_index`, `distill.texts.text_templates` and `distill.bundle.verify` import no torch, so that a web
process can validate a run without loading it.
"""


class Stopped(Exception):
    """Work ended early because `should_stop()` returned true; finished work is kept, and a new call continues."""
