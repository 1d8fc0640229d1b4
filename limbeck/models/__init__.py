"""Responses of the service as frozen pydantic models.

Fields of newer services are kept in `model_extra`. A name that this client does not know yet, such as a new kind of
job, is a plain text: therefore the types `… | str`. `tests/limbeck/test_models.py` compares them with the service's.
"""

from limbeck.models.attributes import (
    Attributes,
    AttributeSet,
    Draft,
    DraftChanged,
    ImportedSet,
    ImportReport,
    LabelDifference,
    LabelResult,
    LeftOut,
    Line,
    LineKind,
    LineOrigin,
    Match,
    SetLabel,
)
from limbeck.models.base import Page, ServiceResponse
from limbeck.models.checkpoints import (
    BundleFile,
    Checkpoint,
    CheckpointWithFiles,
    Guess,
    LabelScore,
    ManifestEntry,
    PictureScores,
    Sample,
    Samples,
)
from limbeck.models.datasets import (
    CaptionSet,
    CreatedDataset,
    Dataset,
    TargetLabel,
    TargetLabels,
    TargetTeacher,
    Teacher,
    TextTargets,
)
from limbeck.models.deletions import DeletedResource, Deletion
from limbeck.models.estimates import AgainEstimate, Estimate, Range, StrategyEstimate, UsdRange
from limbeck.models.jobs import ENDED, Call, CreatedJob, Event, Job, JobError, JobKind, Progress, Queue, Spend, Stage
from limbeck.models.keys import AuditRecord, CreatedKey, Key, KeyUsage
from limbeck.models.llm import FormatLevel, LLMAnswer, LLMEndpoint, LLMProfile, LLMProfilesReset
from limbeck.models.reports import Gate, GateName, LabelViolation, LineViolation, Report
from limbeck.models.storage import Storage, StorageKind
from limbeck.models.vocabularies import CreatedVocabulary, Label, LabelPreview, Vocabulary
from limbeck.models.webhooks import CreatedWebhook, Webhook, WebhookDelivery, WebhookWithDeliveries
from limbeck.shared.templates import TEXT_KINDS, TextKind

__all__ = [
    "AgainEstimate",
    "AttributeSet",
    "Attributes",
    "AuditRecord",
    "BundleFile",
    "Call",
    "CaptionSet",
    "Checkpoint",
    "CheckpointWithFiles",
    "CreatedDataset",
    "CreatedJob",
    "CreatedKey",
    "CreatedVocabulary",
    "CreatedWebhook",
    "Dataset",
    "DeletedResource",
    "Deletion",
    "Draft",
    "DraftChanged",
    "ENDED",
    "Estimate",
    "Event",
    "FormatLevel",
    "Gate",
    "GateName",
    "Guess",
    "ImportReport",
    "ImportedSet",
    "Job",
    "JobError",
    "JobKind",
    "Key",
    "KeyUsage",
    "LLMAnswer",
    "LLMEndpoint",
    "LLMProfile",
    "LLMProfilesReset",
    "Label",
    "LabelDifference",
    "LabelPreview",
    "LabelResult",
    "LabelScore",
    "LabelViolation",
    "LeftOut",
    "Line",
    "LineKind",
    "LineOrigin",
    "LineViolation",
    "ManifestEntry",
    "Match",
    "Page",
    "PictureScores",
    "Progress",
    "Queue",
    "Range",
    "Report",
    "ServiceResponse",
    "Sample",
    "Samples",
    "SetLabel",
    "Spend",
    "Stage",
    "Storage",
    "StorageKind",
    "StrategyEstimate",
    "TEXT_KINDS",
    "TargetLabel",
    "TargetLabels",
    "TargetTeacher",
    "Teacher",
    "TextKind",
    "TextTargets",
    "UsdRange",
    "Vocabulary",
    "Webhook",
    "WebhookDelivery",
    "WebhookWithDeliveries",
]
