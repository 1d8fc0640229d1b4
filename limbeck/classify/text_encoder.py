"""Text targets of new labels, by the teacher's text tower of a bundle: the same as the service encodes for names.

A label is inserted into each template of the bundle; its target is the normalised mean of the embeddings of these
texts. A text that the tower cannot read as a whole is shortened as in the service (`limbeck.shared.text.shorten`).
K labels, N distinct texts, B of a batch, L tokens of a text, D embedding width.
"""

import html
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from limbeck.classify.bundle import TEXT_GRAPH, TOKENIZER, Bundle, Floats
from limbeck.classify.sessions import Graph
from limbeck.shared.bundle.files import BundleError
from limbeck.shared.templates import one_line
from limbeck.shared.text import shorten

BATCH = 64

OnProgress = Callable[[int, int], None]
"""Called with the number of encoded texts, and of all texts."""


class TextEncoder:
    """The text tower of a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises BundleError if the bundle has no text tower, or a damaged one."""
        config = bundle.text_config()
        self._context_length, self._pad_id, self._templates = config.context_length, config.pad_id, config.templates
        self._unescape_html = config.unescape_html
        try:
            self._tokenizer = Tokenizer.from_file(str(bundle.path(TOKENIZER)))
        except BundleError:
            raise
        except Exception as error:  # the library raises bare Exception for a file it cannot parse
            raise BundleError(f"{bundle.folder / TOKENIZER} is not a tokenizers file: {error}") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._graph = Graph(bundle.path(TEXT_GRAPH), "tokens")

    def targets(self, labels: Sequence[str], on_progress: OnProgress | None = None) -> Floats:
        """The text targets (K, D) of labels."""
        texts = [self._texts(one_line(label)) for label in labels]
        distinct = list(dict.fromkeys(text for of_label in texts for text in of_label))
        row = {text: number for number, text in enumerate(distinct)}
        embeddings = self._encode(distinct, on_progress or (lambda done, total: None))
        means = np.stack([embeddings[[row[text] for text in of_label]].mean(axis=0) for of_label in texts])
        targets: Floats = means / np.linalg.norm(means, axis=1, keepdims=True)
        return targets

    def _texts(self, label: str) -> list[str]:
        return [self._fitting(template.replace("{}", label)) for template in self._templates]

    def _ids(self, text: str) -> list[int]:
        for _ in range(self._unescape_html):
            text = html.unescape(text)
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def _fitting(self, text: str) -> str:
        def fits(shorter: str) -> bool:
            return len(self._ids(shorter)) <= self._context_length

        return text if fits(text) else shorten(text, fits)

    def _encode(self, texts: Sequence[str], on_progress: OnProgress) -> Floats:
        """Embeddings (N, D), in batches of similar length."""
        ids = [self._ids(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda at: len(ids[at]))
        found: list[Floats] = []
        for start in range(0, len(order), BATCH):
            found.append(self._graph(self._padded([ids[at] for at in order[start : start + BATCH]])))
            on_progress(min(start + BATCH, len(order)), len(order))
        embeddings = np.empty((len(texts), found[0].shape[1]), np.float32)
        embeddings[order] = np.concatenate(found)
        return embeddings

    def _padded(self, ids: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
        """Tokens (B, L) of a batch. A tower that reads any L needs no more padding than the longest text."""
        length = self._graph.input_shape[1]
        length = length if isinstance(length, int) else max(map(len, ids))
        tokens = np.full((len(ids), length), self._pad_id, np.int64)
        for row, of_text in zip(tokens, ids, strict=True):
            row[: len(of_text)] = of_text
        return tokens
