"""Labels, their attributes and a split."""

from distill.texts.text_templates import LabelAttributes

LABELS = ("blue jay", "crane", "heron", "red finch")
ATTRIBUTES = [LabelAttributes(f"A {label} with a tail.", (f"a {label} tail", "a beak", "two legs")) for label in LABELS]
SPLIT_BY_LIST = {"by": "list", "id": ["red finch", "crane"], "ood": ["blue jay", "heron"], "held_out": 0.25}
