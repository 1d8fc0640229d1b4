"""The tables. Times are seconds since 1970 (UTC) as doubles; digests are sha256 in hex; `*_key` is an artefact key.
Money is in whole pico-dollars (`*_pusd`, 1e-12 USD), so that the price of a single token is exact; null means unknown.

Tables that can have very many rows of one job, vocabulary or set have no foreign key to it, so that it can be deleted
before them (`store.removal.kinds.PURGED`).

Only `store.jobs.claims` and `store.lifecycle.transitions` change the state of jobs and parts. Most other rows are
written once.
"""

from store.models.access import ApiKey as ApiKey
from store.models.access import AuditRecord as AuditRecord
from store.models.access import BrowserSession as BrowserSession
from store.models.access import IdempotencyRecord as IdempotencyRecord
from store.models.access import Webhook as Webhook
from store.models.access import WebhookDelivery as WebhookDelivery
from store.models.base import Base as Base
from store.models.base import Json as Json
from store.models.base import Owned as Owned
from store.models.blobs import Blob as Blob
from store.models.blobs import BlobPiece as BlobPiece
from store.models.checkpoints import Checkpoint as Checkpoint
from store.models.checkpoints import CheckpointFile as CheckpointFile
from store.models.checkpoints import EpochCheckpoint as EpochCheckpoint
from store.models.checkpoints import EpochFile as EpochFile
from store.models.checkpoints import headline_of as headline_of
from store.models.jobs import Event as Event
from store.models.jobs import Job as Job
from store.models.jobs import Part as Part
from store.models.llm import JobUsage as JobUsage
from store.models.llm import LLMAnswer as LLMAnswer
from store.models.llm import LLMBatch as LLMBatch
from store.models.llm import LLMCall as LLMCall
from store.models.llm import LLMFlight as LLMFlight
from store.models.llm import LLMModelProfile as LLMModelProfile
from store.models.llm import LLMOutage as LLMOutage
from store.models.llm import LLMReservation as LLMReservation
from store.models.sets import AttributeDraft as AttributeDraft
from store.models.sets import AttributeDraftEntry as AttributeDraftEntry
from store.models.sets import AttributeEntry as AttributeEntry
from store.models.sets import AttributePage as AttributePage
from store.models.sets import AttributeSet as AttributeSet
from store.models.sets import AttributeSetPage as AttributeSetPage
from store.models.sets import CaptionSet as CaptionSet
from store.models.sets import EnrichPage as EnrichPage
from store.models.sets import EnrichResult as EnrichResult
from store.models.sets import GateFailure as GateFailure
from store.models.sets import RepairRound as RepairRound
from store.models.sets import SetReport as SetReport
from store.models.training import Dataset as Dataset
from store.models.training import FeatureChunk as FeatureChunk
from store.models.training import Teacher as Teacher
from store.models.training import TextTargets as TextTargets
from store.models.training import Upload as Upload
from store.models.upkeep import CounterIncrement as CounterIncrement
from store.models.upkeep import CounterTotal as CounterTotal
from store.models.upkeep import Heartbeat as Heartbeat
from store.models.upkeep import Removal as Removal
from store.models.upkeep import UnlistedEntry as UnlistedEntry
from store.models.upkeep import UpkeepTurn as UpkeepTurn
from store.models.vocabularies import Label as Label
from store.models.vocabularies import Vocabulary as Vocabulary
