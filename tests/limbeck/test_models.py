"""The client's models are the response models of the service: the same fields, types, nullability and enums."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from api.app import create_app
from limbeck import models
from limbeck.models import ServiceResponse, plans
from limbeck.shared.images import dataset_report
from tests.api.conftest import settings_at

Schema = Mapping[str, Any]
ANY = "any JSON value"

SAME_AS: dict[str, type[ServiceResponse]] = {
    "AgainEstimate": models.AgainEstimate,
    "AttributeSetOut": models.AttributeSet,
    "AttributesOut": models.Attributes,
    "BundleFileOut": models.BundleFile,
    "AuditRecordOut": models.AuditRecord,
    "CaptionSetOut": models.CaptionSet,
    "ChangedDraftOut": models.DraftChanged,
    "CheckpointOut": models.Checkpoint,
    "CheckpointWithFilesOut": models.CheckpointWithFiles,
    "ClassificationOut": models.PictureScores,
    "GuessOut": models.Guess,
    "LabelScoreOut": models.LabelScore,
    "SampleOut": models.Sample,
    "SamplesOut": models.Samples,
    "CreatedDatasetOut": models.CreatedDataset,
    "CreatedJobOut": models.CreatedJob,
    "CreatedKeyOut": models.CreatedKey,
    "CreatedWebhookOut": models.CreatedWebhook,
    "DeliveryOut": models.WebhookDelivery,
    "WebhookOut": models.Webhook,
    "WebhookWithDeliveriesOut": models.WebhookWithDeliveries,
    "KeyOut": models.Key,
    "KeyUsageOut": models.KeyUsage,
    "CreatedVocabularyOut": models.CreatedVocabulary,
    "DatasetOut": models.Dataset,
    "DeletedResourceOut": models.DeletedResource,
    "DeletionOut": models.Deletion,
    "StorageKindOut": models.StorageKind,
    "StorageOut": models.Storage,
    "DraftOut": models.Draft,
    "EpochCheckpointOut": models.EpochCheckpoint,
    "EpochMetricsOut": models.EpochMetrics,
    "EstimateOut": models.Estimate,
    "EventOut": models.Event,
    "GateResultOut": models.Gate,
    "ImportReportOut": models.ImportReport,
    "ImportedSetOut": models.ImportedSet,
    "JobCheckOut": plans.JobCheck,
    "TrainingEstimateOut": plans.PlannedTraining,
    "JobErrorOut": models.JobError,
    "JobOut": models.Job,
    "JobUsageOut": models.Spend,
    "LLMCallOut": models.Call,
    "LLMEndpointOut": models.LLMEndpoint,
    "LLMProfileOut": models.LLMProfile,
    "LLMProfilesResetOut": models.LLMProfilesReset,
    "LLMResponseOut": models.LLMAnswer,
    "LabelDifferenceOut": models.LabelDifference,
    "LabelOut": models.Label,
    "LabelPreviewOut": models.LabelPreview,
    "LabelResultOut": models.LabelResult,
    "LabelViolationOut": models.LabelViolation,
    "LeftOutOut": models.LeftOut,
    "LineOut": models.Line,
    "LineViolationOut": models.LineViolation,
    "MatchOut": models.Match,
    "PlanOut": plans.Plan,
    "PlannedDatasetOut": plans.PlannedDataset,
    "PlannedVocabularyOut": plans.PlannedVocabulary,
    "ProgressOut": models.Progress,
    "QueueOut": models.Queue,
    "Range": models.Range,
    "ReportOut": models.Report,
    "SetLabelOut": models.SetLabel,
    "StageOut": models.Stage,
    "StrategyEstimate": models.StrategyEstimate,
    "TargetLabelOut": models.TargetLabel,
    "TargetLabelsOut": models.TargetLabels,
    "TargetTeacherOut": models.TargetTeacher,
    "TeacherOut": models.Teacher,
    "TextTargetsOut": models.TextTargets,
    "TokenCountsOut": models.TokenCounts,
    "ImagesOfLabelsOut": models.ImagesOfLabels,
    "LabelImageOut": models.LabelImage,
    "LabelImagesOut": models.LabelImages,
    "UsdRange": models.UsdRange,
    "VocabularyOut": models.Vocabulary,
}
WITHOUT_MODEL = {
    "LivenessOut": "read by process supervisors and load balancers",
    "ReadinessOut": "read by process supervisors and load balancers",
    "ReadinessCheckOut": "a part of ReadinessOut",
    "Problem": "the client raises it, as limbeck.errors.Problem",
    "ErrorItem": "a part of Problem: limbeck.errors.FieldError",
}
SHARED = {model.__name__ for model in dataset_report.ReportPart.__subclasses__()}
"""Models that the service and the client both import."""
NOT_A_RESPONSE = {models.ManifestEntry}
"""Part of a downloaded file."""
NEW_FIELDS = {"reused"}
"""Fields that the service always sends and the client does not require: an earlier service lacks them."""
NOT_IN_CLIENT = {"object"}
"""The name of the model, which in Python is the class."""


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Schema]:
    """The response models of the OpenAPI document and the models of their fields."""
    document = create_app(settings_at(tmp_path_factory.mktemp("home"))).openapi()
    found: dict[str, Schema] = document["components"]["schemas"]
    reached = set(_reachable(document["paths"], found))
    return {name: schema for name, schema in found.items() if name in reached}


def _reachable(paths: Mapping[str, Mapping[str, Any]], schemas: Mapping[str, Schema]) -> Iterator[str]:
    """The schemas of responses and of their fields."""
    operations = [operation for by_method in paths.values() for operation in by_method.values()]
    waiting, seen = list(_references([operation["responses"] for operation in operations])), set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += _references(schemas[name])
            yield name


def _references(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(reference := value.get("$ref"), str):
            yield reference.rpartition("/")[2]
        for child in value.values():
            yield from _references(child)
    elif isinstance(value, list):
        for child in value:
            yield from _references(child)


def _shape(schema: Schema, name_of: Mapping[str, str]) -> object:
    """What a schema says about JSON values, without descriptions: types, formats, enums and models.

    `name_of` maps the name of a schema in the document to the name of the client's model.
    """
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return ANY if name == "JsonValue" else name_of.get(name, name)
    if alternatives := schema.get("anyOf"):
        parts = frozenset(part for one in alternatives for part in _parts(_shape(one, name_of)))
        # `Literal[...] | str`: the client accepts names that it does not know yet.
        return parts - {("string", None)} if any("enum" in one for one in alternatives) else parts
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is not None:
        return frozenset(values)
    match schema.get("type"):
        case "array":
            return ("array", _shape(schema["items"], name_of))
        case "object":
            values_schema = schema.get("additionalProperties", True)
            return ("object", ANY if values_schema is True else _shape(values_schema, name_of))
        case "string":
            return ("string", schema.get("format"))
        case "null":
            return None
        case other:
            return other


def _parts(shape: object) -> frozenset[object]:
    return shape if isinstance(shape, frozenset) else frozenset([shape])


def _fields(schema: Schema, name_of: Mapping[str, str]) -> dict[str, object]:
    return {name: _shape(field, name_of) for name, field in schema["properties"].items() if name not in NOT_IN_CLIENT}


def differences(schemas: Mapping[str, Schema], same_as: Mapping[str, type[BaseModel]]) -> list[str]:
    """Where a schema and the client's model of it differ, one line for each."""
    name_of = {name: model.__name__ for name, model in same_as.items()}
    found = []
    for name, model in same_as.items():
        service, client = schemas[name], model.model_json_schema(mode="serialization")
        ours, theirs = _fields(client, {}), _fields(service, name_of)
        required = set(service.get("required", ()))
        found += [f"{name}.{field} is missing in the client" for field in theirs.keys() - ours.keys()]
        found += [f"{model.__name__}.{field} is missing in the service" for field in ours.keys() - theirs.keys()]
        for field in ours.keys() & theirs.keys():
            if ours[field] != theirs[field]:
                found.append(f"{name}.{field}: service {theirs[field]}, client {ours[field]}")
            if model.model_fields[field].is_required() != (field in required - NEW_FIELDS):
                found.append(f"{name}.{field}: the service {'always' if field in required else 'not always'} sends it")
    return sorted(found)


@pytest.mark.slow
def test_the_models_are_equal(schemas: dict[str, Schema]) -> None:
    assert differences(schemas, SAME_AS) == []


def test_every_response_model_has_a_client_model_or_a_reason(schemas: dict[str, Schema]) -> None:
    pages = {name for name in schemas if name.startswith("Page_")}
    assert schemas.keys() - pages - SHARED == SAME_AS.keys() | WITHOUT_MODEL.keys()
    assert set(SAME_AS.values()) | NOT_A_RESPONSE | {models.Page} == {
        model
        for model in {**vars(models), **vars(plans)}.values()
        if isinstance(model, type) and issubclass(model, ServiceResponse) and model is not ServiceResponse
    }
    for name in pages:  # the client reads the items of a page as its own models
        schema = schemas[name]
        assert schema["properties"]["data"]["items"]["$ref"].rpartition("/")[2] in SAME_AS
        items = {"type": "array", "items": {"type": "object", "additionalProperties": True}}
        page = {**schema, "properties": {**schema["properties"], "data": items}}
        assert differences({name: page}, {name: models.Page}) == []


class _MoreInClient(models.Vocabulary):
    colour: str


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
ALL_FIELDS = ["id", "name", "domain", "digest", "num_labels", "created_at"]
CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"properties": {"colour": TEXT}}, "VocabularyOut.colour is missing in the client"),
    ({"properties": {"num_labels": TEXT}}, "VocabularyOut.num_labels: service ('string', None), client integer"),
    (
        {"properties": {"num_labels": {"anyOf": [NUMBER, {"type": "null"}]}}},
        "VocabularyOut.num_labels: service frozenset",
    ),
    ({"properties": {"name": {"enum": ["a", "b"], "type": "string"}}}, "VocabularyOut.name: service frozenset"),
    ({"properties": {"created_at": TEXT}}, "VocabularyOut.created_at: service ('string', None)"),
    ({"required": ALL_FIELDS[1:]}, "VocabularyOut.id: the service not always sends it"),
]


@pytest.mark.parametrize(("change", "difference"), CHANGES)
def test_a_change_of_the_service_is_found(schemas: dict[str, Schema], change: dict[str, Any], difference: str) -> None:
    schema = schemas["VocabularyOut"]
    properties = {**schema["properties"], **change.get("properties", {})}
    changed = {**schema, **change, "properties": properties}
    (found,) = differences({"VocabularyOut": changed}, {"VocabularyOut": models.Vocabulary})
    assert found.startswith(difference)


def test_a_change_of_the_client_is_found(schemas: dict[str, Schema]) -> None:
    found = differences(schemas, {"VocabularyOut": _MoreInClient})
    assert found == ["_MoreInClient.colour is missing in the service"]
    without = {name: field for name, field in schemas["VocabularyOut"]["properties"].items() if name != "digest"}
    schema = {**schemas["VocabularyOut"], "properties": without}
    assert differences({"VocabularyOut": schema}, {"VocabularyOut": models.Vocabulary}) == [
        "Vocabulary.digest is missing in the service"
    ]
