"""Refusals of a plan or a job, named by the option at fault: `--student: no student is called resnet81`.

The service points into the body of the request. A setting of a training is named as it was given: by `--set`, or by
an option of its own.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from limbeck.commands.common import BadInput
from limbeck.commands.train_options import SETTING_OPTIONS

_UNPROCESSABLE = 422
_OPTIONS = (
    (r"/vocabulary/domain", "--domain"),
    (r"/vocabulary", "--labels"),
    (r"/labels", "--labels"),
    (r"/dataset/(path|upload_id)", "--images"),
    (r"/dataset/split", "--split"),
    (r"/dataset/images", "--source"),
    (r"/dataset/folder_map", "--folder-map"),
    (r"/dataset/unlabelled", "--unlabelled"),
    (r"/dataset/duplicates", "--duplicates"),
    (r"/dataset/near_duplicates", "--near-duplicates"),
    (r"/dataset/check", "--check"),
    (r"/dataset/name", "--name"),
    (r"/attributes", "--attributes"),
    (r"/jobs/\d+/recipe", "--recipe"),
    (r"/jobs/\d+/teacher", "--teacher"),
    (r"/jobs/\d+/text", "--text"),
    (r"/jobs/\d+/prompt", "--concept"),
    (r"/jobs/\d+/strategies", "--strategies"),
    (r"/jobs/\d+/endpoint", "--endpoint"),
    (r"/jobs/\d+/model", "--llm-model"),
    (r"/jobs/\d+/language", "--language"),
    (r"/jobs/\d+/system_prompt", "--system-prompt"),
    (r"/jobs/\d+/budget_usd", "--budget-usd"),
    (r"/jobs/\d+/attribute_set_id", "--attributes"),
    (r"/jobs/\d+/dataset_id", "--dataset"),
    (r"/jobs/\d+/checkpoint_id", "--checkpoint"),
    (r"/jobs/\d+/caption_set_id", "--captions"),
    (r"/jobs/\d+/nproc", "--nproc"),
    (r"/jobs/\d+/nnodes", "--nnodes"),
    (r"/jobs/\d+/start_checkpoint_id", "--start"),
    (r"/jobs/\d+/save_checkpoints/keep", "--keep"),
    (r"/jobs/\d+/save_checkpoints", "--save-every"),
    (r"/jobs/\d+/shots", "--shots"),
    (r"/jobs/\d+/domain_dataset_ids", "--domain"),
    (r"/jobs/\d+/far_dataset_id", "--far"),
    (r"/jobs/\d+/corruption_images", "--corruptions"),
    (r"/jobs/\d+/baseline_job_id", "--baseline"),
    (r"/jobs/\d+/outlier_set_id", "--outliers"),
    (r"/jobs/\d+/base_set_id", "--base-set"),
    (r"/jobs/\d+/neighbours", "--neighbours"),
    (r"/jobs/\d+/samples", "--samples"),
    (r"/jobs/\d+/mend_rounds", "--mend-rounds"),
    (r"/jobs/\d+/mode", "--batch"),
    (r"/jobs/\d+/budget_tokens", "--budget-tokens"),
    (r"/jobs/\d+/priority", "--priority"),
    (r"/jobs/\d+/domain", "--domain"),
    (r"/(jobs/\d+|dataset)/vocabulary_id", "VOCABULARY"),
)
OF_VOCABULARY: Mapping[str, str] = {"--labels": "VOCABULARY_OR_FILE", "VOCABULARY": "VOCABULARY_OR_FILE"}
"""The names of a command whose argument is a vocabulary or a file of labels."""
_WHOLE = ("/vocabulary/", "/labels", "/dataset/", "/jobs/", "/attributes")
_CONFIG = re.compile(r"/jobs/\d+/config(?:/(.+))?$")
_UNMATCHED = ("folder_matches_no_label", "ambiguous", "merged_labels", "unknown_label")


@contextmanager
def refusals_by_option(
    set_: Sequence[str] | None = None, *, body: str = "/jobs/0", arguments: Mapping[str, str] = MappingProxyType({})
) -> Iterator[None]:
    """Turn the refusal of a plan or a job into BadInput that names the option at fault.

    `set_`: what `--set` gave. `body`: the place in a plan of what is posted alone. `arguments`: the names that this
    command has for options of others, `{"--images": "PATH"}`.
    """
    from limbeck.errors import Problem

    given = {text.partition("=")[0].strip() for text in set_ or ()}
    try:
        yield
    except Problem as problem:
        if problem.status != _UNPROCESSABLE or not problem.errors:
            raise
        texts = []
        for error in problem.errors:
            path = error.pointer if error.pointer.startswith(_WHOLE) else f"{body}{error.pointer}"
            option = _option(path, given)
            named = error.pointer if option is None else arguments.get(option, option)
            texts.append(f"{named}: {error.detail}" if named else error.detail)
        remedy = ""
        if problem.code in _UNMATCHED:
            remedy = "; --folder-map names the label of a folder, --only-matching leaves out what has no match"
        raise BadInput("; ".join(texts) + remedy) from None


def _option(path: str, given: Collection[str]) -> str | None:
    """The option of a place in a plan, None if there is none. `given`: the settings of `--set`."""
    if config := _CONFIG.match(path):
        return _setting((config[1] or "").replace("/", "."), given)
    return next((name for pattern, name in _OPTIONS if re.match(pattern + r"(/|$)", path)), None)


def _setting(setting: str, given: Collection[str]) -> str:
    """The option that gave a setting, which is empty for the config as a whole: `--student`, `--set losses.mse`."""
    if not setting:
        return "--set" if given else "--recipe"
    by_set = any(setting == name or setting.startswith(f"{name}.") for name in given)
    return f"--set {setting}" if by_set else SETTING_OPTIONS.get(setting, f"--set {setting}")
