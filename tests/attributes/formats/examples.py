"""Entries that several test modules of this package use, and hypothesis strategies for arbitrary entries."""

from hypothesis import strategies as st

from attributes.types import Entry, Line

TALL = Line("sentence", "A tall grey bird.", strategy="describe@1", call="ab12")
NECK = Line("phrase", "a long neck", "neck", "long")
BIRD = Entry("crane", "bird", (TALL, NECK), ("too_few_phrases",))
MACHINE = Entry("crane", "machine", (Line("sentence", "A tall yellow machine.", origin="human", locked=True),))
PLAIN = Entry("colt's foot", lines=(Line("phrase", 'a "quoted" thing\\', origin="import"),))

_TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
_KIND = st.sampled_from(["sentence", "phrase", "answer", "contrast", "caption"])
_ORIGIN = st.sampled_from(["llm", "human", "import"])
_OPTIONAL_TEXT = _TEXT | st.just("")
_LINE = st.builds(
    Line,
    _KIND,
    _TEXT,
    _OPTIONAL_TEXT,
    _OPTIONAL_TEXT,
    _OPTIONAL_TEXT,
    _OPTIONAL_TEXT,
    _ORIGIN,
    st.booleans(),
    _OPTIONAL_TEXT,
    _OPTIONAL_TEXT,
)
ENTRIES = st.lists(
    st.builds(Entry, _TEXT, st.none() | _TEXT, st.lists(_LINE, max_size=3).map(tuple)),
    unique_by=lambda entry: (entry.label.casefold(), (entry.sense or "").casefold()),
    max_size=5,
)
"""Lists of entries with unique labels."""
