# Written by `python -m tests.limbeck.sync_client` from limbeck/client/asynchronous/client.py: edit that file.
"""`limbeck.Client`, a client of a Limbeck service.

from limbeck import Client

with Client("http://127.0.0.1:8420") as client:
    birds = client.vocabularies.create("birds", ["Laysan albatross", "crested auklet"], domain="birds")
    job = client.jobs.wait(client.jobs.create("enrich", vocabulary_id=birds.id))
    for entry in client.attribute_sets.labels(job.result["attribute_set_id"]):
        print(entry.label, entry.sentence)
"""

import copy
from types import TracebackType
from typing import Self

import httpx2

from limbeck.client.environment import api_key, service_url
from limbeck.client.responses import ATTEMPTS, parsed
from limbeck.client.synchronous import runtime
from limbeck.client.synchronous.attribute_sets import AttributeSets
from limbeck.client.synchronous.checkpoints import Checkpoints
from limbeck.client.synchronous.datasets import (
    CaptionSets,
    Datasets,
    Teachers,
    TextTargetSets,
    Uploads,
)
from limbeck.client.synchronous.drafts import Drafts
from limbeck.client.synchronous.http import Http
from limbeck.client.synchronous.jobs import Jobs
from limbeck.client.synchronous.keys import Audit, Keys, Webhooks
from limbeck.client.synchronous.llm import LLM
from limbeck.client.synchronous.vocabularies import Vocabularies
from limbeck.errors import Problem
from limbeck.models import Storage


class Client:
    """A client of a Limbeck service.

    Failed requests are sent again, with pauses; a request that changes something is performed once. Every method raises
    `Problem` if the service rejects a request, `Unreachable` if it does not respond and `UnexpectedResponse` if its
    response cannot be read; all are a `LimbeckError`. Lists are fetched page by page while they are read.
    """

    vocabularies: Vocabularies
    attribute_sets: AttributeSets
    drafts: Drafts
    datasets: Datasets
    uploads: Uploads
    caption_sets: CaptionSets
    jobs: Jobs
    teachers: Teachers
    text_targets: TextTargetSets
    checkpoints: Checkpoints
    llm: LLM
    webhooks: Webhooks
    keys: Keys
    audit: Audit

    def __init__(
        self,
        base_url: str | None = None,
        key: str | None = None,
        *,
        attempts: int = ATTEMPTS,
        timeout_s: float | None = None,
        sleep: runtime.Sleep = runtime.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """
        Args:
            base_url: URL of the service; by default LIMBECK_URL, else `http://127.0.0.1:8420`.
            key: the secret that `limbeck key create` printed, if the service requires one; by default LIMBECK_KEY, and
                none if empty.
            attempts: maximum number of times that a request is sent.
            timeout_s: seconds without any byte of a response after which an attempt ends; 60 by default, and an hour
                while the service checks the images of a dataset.
            sleep: called for pauses, in seconds.
            transport: replaces the network, for tests.

        Raises:
            Unreachable: `base_url` is not the URL of a service.
        """
        self._use(
            Http(
                service_url(base_url),
                key=api_key(key),
                attempts=attempts,
                timeout_s=timeout_s,
                sleep=sleep,
                transport=transport,
            )
        )

    def _use(self, http: Http) -> None:
        self._http = http
        self.vocabularies = Vocabularies(http)
        self.attribute_sets = AttributeSets(http)
        self.drafts = Drafts(http)
        self.datasets = Datasets(http)
        self.uploads = Uploads(http)
        self.caption_sets = CaptionSets(http)
        self.jobs = Jobs(http)
        self.teachers = Teachers(http)
        self.text_targets = TextTargetSets(http)
        self.checkpoints = Checkpoints(http)
        self.llm = LLM(http)
        self.webhooks = Webhooks(http)
        self.keys = Keys(http)
        self.audit = Audit(http)

    def with_options(self, *, attempts: int | None = None, timeout_s: float | None = None) -> Self:
        """A copy with other options; None keeps the option. The copy shares the connections: closing one closes both.

        Args:
            attempts: maximum number of times that a request is sent.
            timeout_s: seconds without any byte of a response after which an attempt ends.
        """
        copied = copy.copy(self)
        copied._use(self._http.with_options(attempts=attempts, timeout_s=timeout_s))
        return copied

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def storage(self) -> Storage:
        """The disk that the service uses, by kind."""
        return parsed(Storage, self._http.request("GET", "/v1/storage"))

    def ready(self) -> bool:
        """Whether the service is ready: database, queue and workers are available (`/readyz`)."""
        try:
            self._http.request("GET", "/readyz", attempts=1)
        except Problem as problem:
            if problem.status == 503:
                return False
            raise
        return True
