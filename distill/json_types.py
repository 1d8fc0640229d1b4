"""Types of the JSON that several packages of `distill` read or write. Imports nothing of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

JSONValue: TypeAlias = "str | int | float | bool | None | Sequence[JSONValue] | Mapping[str, JSONValue]"
JSONObject: TypeAlias = Mapping[str, JSONValue]
EvaluatedPart = Literal["id", "ood"]


class Preprocess(TypedDict):
    """Preprocessing of an image: `size` [height, width] in pixels, `mean` and `std` of values in 0..1."""

    size: list[int]
    mean: list[float]
    std: list[float]
    interpolation: str
    resize_mode: str


class TeacherPreprocess(Preprocess):
    """Preprocessing of a teacher."""

    fill_color: int | list[int]


class StudentPreprocess(Preprocess):
    """Preprocessing of a student. `crop_pct`: `size` as a share of the resized side. `mode`: Pillow's, `RGB` or `L`.

    `background`: colour (`#rrggbb`) that transparent parts show. `decoder`: how files become RGB pixels before that
    (`limbeck.shared.images.decode`). Bundles of earlier releases lack the optional fields: they have mode `RGB`, and
    dropped transparency.
    """

    crop_pct: float
    mode: NotRequired[Literal["RGB", "L"]]
    background: NotRequired[str]
    decoder: NotRequired[str]


ModelArgs = dict[str, Any]
"""Arguments of `timm.create_model` besides name and number of outputs: JSON values, of types that the model knows."""


class InitialWeightsJSON(TypedDict):
    """Where the weights of a student came from before its training.

    `source`: `random`, a published model (`timm/resnet18.a1_in1k`, `hf-hub:org/name`), or the path that was given.
    `file` and `sha256`: of the weights file. `license`: as published with the weights, None if unknown. `head`: what
    became of its classifier.
    """

    source: str
    file: NotRequired[str]
    sha256: NotRequired[str]
    license: NotRequired[str | None]
    head: NotRequired[str]


class TeacherWeights(TypedDict):
    """The weights that were chosen for a teacher. `file`: a file, or the index of shards. `quick_gelu`: as loaded."""

    file: str
    num_bytes: int
    layout: Literal["open_clip", "transformers"]
    quick_gelu: bool


class TeacherInfo(TypedDict):
    """Description of a teacher: `distill.teacher.teacher.Teacher.info()`. Files of earlier releases lack `weights`."""

    ref: str
    digest: str
    width: int
    context_length: int
    logit_scale: float
    logit_bias: float | None
    preprocess: TeacherPreprocess
    preprocess_digest: str
    tokenizer_fingerprint: str
    num_parameters: int
    weights: NotRequired[TeacherWeights]
    notes: NotRequired[list[str]]


class TextConfig(TypedDict, total=False):
    """The text tower in an open_clip config; only the fields that are read here."""

    context_length: int
    tokenizer_kwargs: dict[str, JSONValue] | None
    tokenizer_mode: str | None
    hf_tokenizer_name: str
    hf_model_name: str
    output_tokens: bool


class ModelConfig(TypedDict):
    """The config of an open_clip model; only the fields that are read here."""

    embed_dim: int
    vision_cfg: dict[str, JSONValue]
    text_cfg: TextConfig
    custom_text: NotRequired[bool]
    init_logit_bias: NotRequired[float | None]
    multimodal_cfg: NotRequired[JSONObject]
    quick_gelu: NotRequired[bool]


class Accuracies(TypedDict):
    """Accuracies in 0..1; None for a part without images."""

    id: float | None
    ood: float | None
    harmonic_mean: float | None


class EpochLine(TypedDict):
    """The evaluation of an epoch, without its position. `measure`: what the figures are, if they are no accuracies."""

    accuracy: Accuracies
    measure: NotRequired[Literal["mean_ap"]]


class LogLine(TypedDict):
    """A line of the training log: the metrics of a step (`distill.training.metrics`), or the evaluation of an epoch."""

    step: int
    epoch: int
    total_steps: NotRequired[int]
    epochs: NotRequired[int]
    loss: NotRequired[float]
    losses: NotRequired[dict[str, float]]
    lr: NotRequired[float]
    images_per_s: NotRequired[float]
    eta_s: NotRequired[float]
    data_wait: NotRequired[float]
    train_accuracy: NotRequired[float]
    accuracy: NotRequired[Accuracies]
    measure: NotRequired[Literal["mean_ap"]]


class IntervalsJSON(TypedDict):
    """`distill.evaluation.bootstrap.Intervals`: lower and upper bound."""

    images: list[float]
    labels: list[float]


class BinJSON(TypedDict):
    """`distill.evaluation.calibration.Bin`."""

    low: float
    high: float
    num_images: int
    confidence: float
    accuracy: float


class CalibrationJSON(TypedDict):
    """`distill.evaluation.calibration.Calibration`."""

    error: float
    num_bins: int
    temperature: float
    bins: list[BinJSON]


class ConfusionJSON(TypedDict):
    """`distill.evaluation.accuracy.Confusion`."""

    label: str
    taken_for: str
    num_images: int
    share: float


class AgreementJSON(TypedDict):
    """`distill.evaluation.agreement.Agreement`."""

    feature_cosine: float
    neighbour_overlap: float | None
    linear_cka: float | None
    top1_agreement: float
    top_texts_kl: float
    num_images: int
    num_neighbours: int
    num_neighbour_images: int
    temperature: float


class LabelSetJSON(TypedDict):
    """`distill.evaluation.accuracy.LabelSetAccuracy`."""

    accuracy: float
    chance: float
    num_labels: int
    num_images: int
    per_label: dict[str, float]
    images_per_label: NotRequired[dict[str, int]]
    top5: float
    intervals: IntervalsJSON
    calibration: CalibrationJSON
    confusions: list[ConfusionJSON]
    agreement: AgreementJSON | None


class JointJSON(TypedDict):
    """`distill.evaluation.accuracy.JointResult`."""

    id_accuracy: float
    ood_accuracy: float
    harmonic_mean: float
    chance: float
    num_labels: int
    id_intervals: IntervalsJSON
    ood_intervals: IntervalsJSON
    harmonic_intervals: IntervalsJSON


class LastEpochsJSON(TypedDict):
    """`distill.evaluation.accuracy.LastEpochs`; mean average precisions if images have several labels."""

    epochs: list[int]
    id_accuracy: float | None
    ood_accuracy: float | None
    harmonic_mean: float | None


class OnnxPartJSON(TypedDict):
    """Accuracies of the ONNX encoders of a student on the same images, those of image.onnx and of image-int8.onnx.

    They are mean average precisions if images have several labels.
    """

    float32: float
    int8: float
    num_images: int


class OnnxAccuracyJSON(TypedDict):
    """The int8 encoder beside the float one: how it was quantised, and accuracies on held-out and OOD images.

    `mean_cosine`: of the embeddings of both, over the calibration images. `id`, `ood`: None if no image was measured.
    """

    method: Literal["static", "dynamic"]
    num_calibration_images: int
    mean_cosine: float
    id: OnnxPartJSON | None
    ood: OnnxPartJSON | None


class NoneOfTheseJSON(TypedDict):
    """`distill.evaluation.none_of_these.NoneOfThese`."""

    score: Literal["cosine", "energy", "outliers"]
    threshold: float
    false_alarm_rate: float
    target_rate: float
    num_images: int


class DomainJSON(TypedDict):
    """`distill.evaluation.domains.DomainAccuracy`."""

    name: str
    accuracy: float
    training_domain: float
    drop: float
    num_labels: int
    num_images: int
    intervals: IntervalsJSON


class DomainShiftJSON(TypedDict):
    """`distill.evaluation.domains.DomainShift`."""

    mean: float
    worst: str
    worst_accuracy: float
    mean_drop: float
    domains: list[DomainJSON]


class DomainShiftsJSON(TypedDict):
    """`distill.evaluation.further.DomainShifts`."""

    id: DomainShiftJSON | None
    ood: DomainShiftJSON | None


class KindErrorsJSON(TypedDict):
    """`distill.evaluation.corruptions.errors.KindErrors`."""

    kind: str
    errors: list[float]
    error: float
    ce: float | None
    relative_ce: float | None


class CorruptionErrorsJSON(TypedDict):
    """`distill.evaluation.corruptions.errors.CorruptionErrors`."""

    num_images: int
    num_labels: int
    clean_error: float
    mean_error: float
    mce: float | None
    relative_mce: float | None
    kinds: list[KindErrorsJSON]


class CorruptionsJSON(TypedDict):
    """`distill.evaluation.corruptions.measure.Corruptions`."""

    image_px: int
    strengths: list[int]
    id: CorruptionErrorsJSON | None
    ood: CorruptionErrorsJSON | None
    baseline: CorruptionErrorsJSON | None


class RecallJSON(TypedDict):
    """`distill.evaluation.recall.Recall`."""

    ranks: list[int]
    recall: list[float]
    chance: list[float]
    num_queries: int
    num_images: int


class RetrievalJSON(TypedDict):
    """`distill.evaluation.recall.Retrieval`."""

    image_to_image: RecallJSON | None
    text_to_image: RecallJSON | None


class RetrievalPartsJSON(TypedDict):
    """`distill.evaluation.further.RetrievalParts`."""

    id: RetrievalJSON | None
    ood: RetrievalJSON | None


class ScoreResultJSON(TypedDict):
    """`distill.evaluation.open_set.measure.ScoreResult`."""

    score: Literal["cosine", "energy", "outliers"]
    auroc: float
    fpr95: float
    oscr: float
    threshold: float
    known_accuracy: float
    rejected: float
    h_score: float
    roc: list[float]


class UnknownResultJSON(TypedDict):
    """`distill.evaluation.open_set.measure.UnknownResult`."""

    kind: Literal["near", "far"]
    source: str
    num_images: int
    scores: list[ScoreResultJSON]
    rejected_among_all: float | None


class OpenSetJSON(TypedDict):
    """`distill.evaluation.open_set.measure.OpenSet`."""

    num_labels: int
    num_images: int
    num_outliers: int
    target_rate: float
    unknown: list[UnknownResultJSON]


class FurtherJSON(TypedDict, total=False):
    """`distill.evaluation.further.Further`: what was measured beside the accuracies."""

    domains: DomainShiftsJSON
    corruptions: CorruptionsJSON
    recall: RetrievalPartsJSON
    open_set: OpenSetJSON


class DecisionsJSON(TypedDict):
    """`distill.evaluation.multi_label.threshold.Decisions`."""

    precision: float
    recall: float
    f1: float


class LabelThresholdJSON(TypedDict):
    """`distill.evaluation.multi_label.threshold.LabelThreshold`."""

    threshold: float
    slope: float
    intercept: float
    decisions: DecisionsJSON
    num_images: int
    num_labels: int


class PartPrecisionJSON(TypedDict):
    """`distill.evaluation.multi_label.measure.PartPrecision`."""

    mean_ap: float
    chance: float
    num_labels: int
    num_images: int
    per_label: dict[str, float]
    images_per_label: dict[str, int]
    intervals: IntervalsJSON
    replicates: int
    decisions: DecisionsJSON | None


class JointPrecisionJSON(TypedDict):
    """`distill.evaluation.multi_label.measure.JointPrecision`."""

    id_mean_ap: float
    ood_mean_ap: float
    num_images: int


class MultiLabelJSON(TypedDict):
    """`distill.evaluation.multi_label.measure.MultiLabel`."""

    id: PartPrecisionJSON | None
    ood: PartPrecisionJSON | None
    joint: JointPrecisionJSON | None
    threshold: LabelThresholdJSON | None


class EvaluationJSON(TypedDict):
    """`distill.evaluation.accuracy.Evaluation`. Fields that an evaluation of an earlier release lacks are absent.

    `onnx`: in a bundle with an int8 encoder. `multi_label`: of images with several labels, whose `id` and `ood` are
    None.
    """

    text: str
    id: LabelSetJSON | None
    ood: LabelSetJSON | None
    joint: NotRequired[JointJSON | None]
    last_epochs: NotRequired[LastEpochsJSON | None]
    retrieval: NotRequired[LabelSetJSON | None]
    num_training_images: NotRequired[int]
    none_of_these: NotRequired[NoneOfTheseJSON]
    none_of_these_by_score: NotRequired[dict[str, NoneOfTheseJSON]]
    multi_label: NotRequired[MultiLabelJSON]
    domains: NotRequired[DomainShiftsJSON]
    corruptions: NotRequired[CorruptionsJSON]
    recall: NotRequired[RetrievalPartsJSON]
    open_set: NotRequired[OpenSetJSON]
    onnx: NotRequired[OnnxAccuracyJSON]


class GainJSON(TypedDict):
    """`distill.benefit.metrics.Gain`."""

    mean: float
    images: list[float]
    labels: list[float]


class ArmPartJSON(TypedDict):
    """`distill.benefit.metrics.ArmResult`."""

    accuracy: float
    draws: list[float]
    over_names: GainJSON
    over_control: GainJSON | None


class ArmJSON(TypedDict):
    """`distill.benefit.run.ArmReport`."""

    name: str
    role: str
    num_texts: int
    id: ArmPartJSON | None
    ood: ArmPartJSON | None


class FilteredJSON(TypedDict):
    """`distill.benefit.phrase_filter.PhraseFilterResult`."""

    dropped: dict[str, list[str]]
    before: float
    after: float
    refused: str


class BenefitReportJSON(TypedDict):
    """`distill.benefit.run.BenefitReport`."""

    teacher: str
    concept: str
    seeds: list[int]
    num_images: dict[str, int]
    num_labels: dict[str, int]
    chance: dict[str, float]
    arms: list[ArmJSON]
    chosen: str
    verdict: str
    label_gains: dict[str, dict[str, dict[str, float]]]
    num_shortened: int
    filtered: FilteredJSON | None


class ModelEvaluation(EvaluationJSON):
    """The evaluation of a model; `run` is its name."""

    run: str


class StudentEvaluation(EvaluationJSON):
    """The evaluation of a student, and those of its teacher if it was measured."""

    teacher: NotRequired[list[ModelEvaluation]]
