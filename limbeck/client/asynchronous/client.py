"""`limbeck.AsyncClient`, a client of a Limbeck service.

from limbeck import AsyncClient

async with AsyncClient("http://127.0.0.1:8420") as client:
    birds = await client.vocabularies.create("birds", ["Laysan albatross", "crested auklet"], domain="birds")
    job = await client.jobs.wait(await client.jobs.create("enrich", vocabulary_id=birds.id))
    async for entry in client.attribute_sets.labels(job.result["attribute_set_id"]):
        print(entry.label, entry.sentence)
"""

import copy
from types import TracebackType
from typing import Self

import httpx2

from limbeck.client.asynchronous import runtime
from limbeck.client.asynchronous.attribute_sets import AsyncAttributeSets
from limbeck.client.asynchronous.checkpoints import AsyncCheckpoints
from limbeck.client.asynchronous.datasets import (
    AsyncCaptionSets,
    AsyncDatasets,
    AsyncTeachers,
    AsyncTextTargetSets,
    AsyncUploads,
)
from limbeck.client.asynchronous.drafts import AsyncDrafts
from limbeck.client.asynchronous.http import AsyncHttp
from limbeck.client.asynchronous.jobs import AsyncJobs
from limbeck.client.asynchronous.keys import AsyncAudit, AsyncKeys, AsyncWebhooks
from limbeck.client.asynchronous.llm import AsyncLLM
from limbeck.client.asynchronous.vocabularies import AsyncVocabularies
from limbeck.client.environment import api_key, service_url
from limbeck.client.responses import ATTEMPTS, parsed
from limbeck.errors import Problem
from limbeck.models import Storage


class AsyncClient:
    """A client of a Limbeck service.

    Failed requests are sent again, with pauses; a request that changes something is performed once. Every method raises
    `Problem` if the service rejects a request, `Unreachable` if it does not respond and `UnexpectedResponse` if its
    response cannot be read; all are a `LimbeckError`. Lists are fetched page by page while they are read.
    """

    vocabularies: AsyncVocabularies
    attribute_sets: AsyncAttributeSets
    drafts: AsyncDrafts
    datasets: AsyncDatasets
    uploads: AsyncUploads
    caption_sets: AsyncCaptionSets
    jobs: AsyncJobs
    teachers: AsyncTeachers
    text_targets: AsyncTextTargetSets
    checkpoints: AsyncCheckpoints
    llm: AsyncLLM
    webhooks: AsyncWebhooks
    keys: AsyncKeys
    audit: AsyncAudit

    def __init__(
        self,
        base_url: str | None = None,
        key: str | None = None,
        *,
        attempts: int = ATTEMPTS,
        timeout_s: float | None = None,
        sleep: runtime.Sleep = runtime.sleep,
        transport: httpx2.AsyncBaseTransport | None = None,
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
            AsyncHttp(
                service_url(base_url),
                key=api_key(key),
                attempts=attempts,
                timeout_s=timeout_s,
                sleep=sleep,
                transport=transport,
            )
        )

    def _use(self, http: AsyncHttp) -> None:
        self._http = http
        self.vocabularies = AsyncVocabularies(http)
        self.attribute_sets = AsyncAttributeSets(http)
        self.drafts = AsyncDrafts(http)
        self.datasets = AsyncDatasets(http)
        self.uploads = AsyncUploads(http)
        self.caption_sets = AsyncCaptionSets(http)
        self.jobs = AsyncJobs(http)
        self.teachers = AsyncTeachers(http)
        self.text_targets = AsyncTextTargetSets(http)
        self.checkpoints = AsyncCheckpoints(http)
        self.llm = AsyncLLM(http)
        self.webhooks = AsyncWebhooks(http)
        self.keys = AsyncKeys(http)
        self.audit = AsyncAudit(http)

    def with_options(self, *, attempts: int | None = None, timeout_s: float | None = None) -> Self:
        """A copy with other options; None keeps the option. The copy shares the connections: closing one closes both.

        Args:
            attempts: maximum number of times that a request is sent.
            timeout_s: seconds without any byte of a response after which an attempt ends.
        """
        copied = copy.copy(self)
        copied._use(self._http.with_options(attempts=attempts, timeout_s=timeout_s))
        return copied

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def storage(self) -> Storage:
        """The disk that the service uses, by kind."""
        return parsed(Storage, await self._http.request("GET", "/v1/storage"))

    async def ready(self) -> bool:
        """Whether the service is ready: database, queue and workers are available (`/readyz`)."""
        try:
            await self._http.request("GET", "/readyz", attempts=1)
        except Problem as problem:
            if problem.status == 503:
                return False
            raise
        return True
