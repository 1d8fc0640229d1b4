"""`limbeck run`: the complete workflow on your labels and images, from a label list to a downloaded student.

Everything is checked before anything is stored or paid for. Each step is reused or continued if its inputs are the same
as in an earlier run, so that the same command after an interruption goes on where the service is.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.commands.common import (
    DEFAULT_URL,
    BadInput,
    LabelsMissing,
    Language,
    Priority,
    SystemPromptFile,
    Url,
    read_text,
    service,
)
from limbeck.commands.evaluations import Row, is_measured, names_are_better, no_student_text, results_table
from limbeck.commands.image_options import (
    DEFAULT_SPLIT,
    CheckImages,
    Duplicates,
    FolderMap,
    NearDuplicates,
    OnlyMatching,
    Source,
    Split,
    Unlabelled,
    counts_text,
    image_options,
)
from limbeck.commands.paper import (
    SENTENCES,
    SOURCE,
    SPLIT,
    TEACHER,
    labels_file,
    paper_dataset,
    recipe_and_settings,
    sentences_file,
)
from limbeck.commands.plans import check_out, holds_bundle, print_plan
from limbeck.commands.refusals import refusals_by_option
from limbeck.commands.run_inputs import (
    RunInputs,
    check_attribute_file,
    create_vocabulary,
    import_attributes,
    plan_run,
    read_labels,
    with_domain_of_attributes,
)
from limbeck.commands.started_jobs import start
from limbeck.commands.tables import AsJson, print_json
from limbeck.commands.train_options import (
    RECIPE_HELP,
    TEACHER_HELP,
    Concept,
    DryRun,
    NumNodes,
    NumProcesses,
    Pretrained,
    Set,
    Student,
    Text,
    TextOnnx,
    TimeBudget,
    text_kind,
    train_config,
)

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck import Client
    from limbeck.models import CreatedDataset, Job

_STRATEGIES = {
    "answers": "questions",
    "contrast": "describe,contrast",
    "all": "sentence,phrases,questions,contrast",
}


def run(
    images: Annotated[str, typer.Option(help="A folder of class folders, below the data root; or an upload: upl_…")],
    out: Annotated[Path, typer.Option(help="The destination folder of the student.")],
    labels: Annotated[
        Path | None, typer.Option(help="A label file: one label per line, CSV, JSON, YAML …; needed without --paper.")
    ] = None,
    teacher: Annotated[str, typer.Option(help=f"{TEACHER_HELP} Needed without --paper.")] = "",
    paper: Annotated[
        str,
        typer.Option(
            help="A data set of Li et al. as their scripts lay it out: cub, flowers102, food101, cars, sun397, "
            "tiered_imagenet. Sets split, recipe, teacher, and labels and sentences from --images."
        ),
    ] = "",
    domain: Annotated[str, typer.Option(help="The category of the labels: birds, dishes, tools.")] = "",
    attributes: Annotated[
        str, typer.Option(help="An attribute set (ats_…), or a file that is imported, in place of the LLM.")
    ] = "",
    text: Text = "sentence",
    concept: Concept = "",
    student: Student = "",
    recipe: Annotated[str, typer.Option(help=f"{RECIPE_HELP} Default: limbeck, with --paper its recipe.")] = "",
    set_: Set = None,
    pretrained: Pretrained = False,
    time_budget: TimeBudget = "",
    text_onnx: TextOnnx = False,
    nproc: NumProcesses = 1,
    nnodes: NumNodes = 1,
    split: Split = DEFAULT_SPLIT,
    source: Source = "",
    folder_map: FolderMap = "",
    only_matching: OnlyMatching = False,
    unlabelled: Unlabelled = None,
    strategies: Annotated[
        str, typer.Option(help="Prompt strategies: sentence,phrases,contrast …; by default those that --text needs.")
    ] = "",
    check: CheckImages = "full",
    duplicates: Duplicates = "",
    near_duplicates: NearDuplicates = "",
    endpoint: Annotated[str, typer.Option(help="The LLM endpoint, one of `limbeck llm endpoints`.")] = "",
    llm_model: Annotated[str, typer.Option(help="The LLM; the endpoint's by default.")] = "",
    language: Language = "",
    system_prompt: SystemPromptFile = None,
    priority: Priority = 0,
    dry_run: DryRun = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start new jobs, also if jobs with the same inputs run or have succeeded.")
    ] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Describe labels with an LLM, distil a student, evaluate it on seen and unseen labels, and download it.

    Everything is checked before the first LLM call. The same command continues a run that was interrupted. Exit code 3
    if labels lack attributes; their names are used.

    Examples:

      limbeck run --labels birds.txt --domain birds --images birds --teacher ViT-B-32:openai --out student
      limbeck run … --dry-run                     check everything, estimate calls and cost, write nothing
      limbeck run … --attributes edited.json      with your own attributes, without an LLM
      limbeck run … --student mobilenetv4 --pretrained --time-budget 8h
      limbeck run … --split all                   for production: train on all labels and images, measure nothing
      limbeck run --paper cub --images cub --out cub-student      a data set of the paper, with its recipe
    """
    from rich.console import Console

    kind, config = (
        text_kind(text, has_attributes=True),
        train_config(set_, student, text_onnx=text_onnx, pretrained=pretrained, time_budget=time_budget),
    )
    dataset = paper_dataset(paper) if paper else None
    if dataset is not None:
        labels, teacher, domain = labels or labels_file(images), teacher or TEACHER, domain or dataset.domain
        by_llm = strategies or endpoint or llm_model or language or system_prompt
        if not attributes and not by_llm and kind == "sentence":
            attributes = sentences_file(labels)
        if split == DEFAULT_SPLIT:
            split = json.dumps(SPLIT)
        source = source or json.dumps(SOURCE)
        recipe, config = recipe_and_settings(dataset, recipe, config)
    if labels is None or not teacher:
        raise BadInput(f"--{'teacher' if labels else 'labels'} is missing: give it, or name a data set by --paper")
    if attributes or kind == "names":
        _check_no_llm(
            {
                "--strategies": strategies,
                "--endpoint": endpoint,
                "--llm-model": llm_model,
                "--language": language,
                "--system-prompt": system_prompt,
            },
            "--attributes" if attributes else "--text names",
        )
    label_list = read_labels(labels, domain)
    inputs = RunInputs(
        labels=label_list,
        images=image_options(
            images,
            split=split,
            source=source,
            folder_map=folder_map,
            only_matching=only_matching,
            unlabelled=unlabelled,
            check=check,
            duplicates=duplicates,
            near_duplicates=near_duplicates,
        ),
        teacher=teacher,
        text=kind,
        enrich=None
        if kind == "names" or attributes
        else _enrich_options(kind, strategies, teacher)
        | {
            "endpoint": endpoint or None,
            "model": llm_model or None,
            "language": language or None,
            "system_prompt": read_text(system_prompt) if system_prompt else None,
        },
        attributes=_attributes(attributes, kind),
        sentences_of=labels if dataset is not None and Path(attributes).name.lower() == SENTENCES else None,
        distill={
            "teacher": teacher,
            "text": kind,
            "concept": concept,
            "recipe": recipe or "limbeck",
            "config": config,
            "nproc": nproc if nproc > 1 else None,
            "nnodes": nnodes if nnodes > 1 else None,
        },
        out=out,
    )
    check_out(out)
    console = Console(stderr=as_json)
    with service(url) as client:
        inputs = with_domain_of_attributes(client, inputs)
        with refusals_by_option(set_, arguments={"--dataset": "--images"}):
            inputs, plan = plan_run(client, inputs, is_dry_run=dry_run)
        check_attribute_file(inputs)
        console.print(inputs.labels.report, highlight=False, markup=False, soft_wrap=True)
        if inputs.sentences_of is not None:
            console.print(f"sentences: {inputs.attributes}, no LLM", highlight=False, markup=False, soft_wrap=True)
        if dataset is not None and plan.dataset is not None:
            for difference in dataset.differences(plan.dataset.counts):
                console.print(f"unlike the published split: {difference}", highlight=False, markup=False)
        if plan.dataset is not None and not plan.dataset.counts["train"]:
            raise BadInput("--split: no image is left to train on")
        if dry_run:
            print_plan(plan, console)
            return print_json(plan.model_dump(mode="json")) if as_json else None
        results, missing = _Run(client, console, inputs, reuse=not fresh, priority=priority).run()
    if as_json:
        print_json(results)
    if missing:
        raise LabelsMissing(missing)


class _Run:
    """A run that has been checked. `reuse`: continue jobs with the same inputs."""

    def __init__(self, client: "Client", console: "Console", inputs: RunInputs, *, reuse: bool, priority: int) -> None:
        self._priority = priority or None
        self._client, self._console, self._inputs, self._reuse = client, console, inputs, reuse

    def run(self) -> tuple[dict[str, Any], str]:
        """Do everything. Returns ids and figures, and what labels lack, in one line; empty if they lack nothing."""
        vocabulary = create_vocabulary(self._client, self._inputs.labels, self._console)
        dataset = self._register(vocabulary.id)
        if self._inputs.imports:  # costs no LLM call, and only the set tells whether this run was done before
            attribute_set_id, missing = self._attributes(vocabulary.id)
            self._check_bundle_in_the_way(vocabulary.id, dataset.id, attribute_set_id)
        else:
            self._check_bundle_in_the_way(vocabulary.id, dataset.id)
            attribute_set_id, missing = self._attributes(vocabulary.id)
        rows = self._measure_teacher(dataset, attribute_set_id)
        job = self._distill(dataset.id, attribute_set_id)
        trained = job.result or {}
        if trained.get("checkpoint_id"):  # the closed-set baseline has an evaluation, but no bundle
            self._download(trained["checkpoint_id"])
        self._print_results(trained, rows, job.id)
        results = {
            "vocabulary_id": vocabulary.id,
            "dataset_id": dataset.id,
            "attribute_set_id": attribute_set_id,
            "checkpoint_id": trained.get("checkpoint_id"),
            "folder": str(self._inputs.out) if trained.get("checkpoint_id") else None,
            "evaluation": trained["evaluation"],
            "teacher": [{"text": text, "evaluation": evaluation} for _, text, evaluation in rows],
        }
        return results, missing

    def _register(self, vocabulary_id: str) -> "CreatedDataset":
        """Register the images before the first LLM call: the check of their contents can refuse them."""
        with refusals_by_option(body="/dataset"):
            dataset = self._client.datasets.create(vocabulary_id, **self._inputs.images.fields())
        exists = ", which exists" if dataset.reused else ""
        self._print(f"{counts_text(dataset.counts)}; dataset {dataset.id}{exists}")
        for warning in dataset.warnings:
            self._print(f"warning: {warning}")
        if dataset.warnings:
            self._print(f"details: limbeck dataset report {dataset.id}")
        return dataset

    def _check_bundle_in_the_way(
        self, vocabulary_id: str, dataset_id: str, attribute_set_id: str | None = None
    ) -> None:
        """Refuse a folder that holds a student, unless this run has trained one before. Raises BadInput."""
        inputs = self._inputs
        if not holds_bundle(inputs.out):
            return
        plan = self._client.jobs.plan(inputs.jobs(vocabulary_id, dataset_id, attribute_set_id))
        if not self._reuse or plan.jobs[-1].same_job_id is None:
            raise BadInput(f"--out {inputs.out} holds the student of another run: give a new folder, or move it away")

    def _attributes(self, vocabulary_id: str) -> tuple[str | None, str]:
        """The attribute set, and what labels lack: given, imported, or made by the LLM; None for names."""
        from limbeck.enrich_report import follow_enrichment, missing_text, print_report

        inputs = self._inputs
        if inputs.text == "names":
            return None, ""
        if inputs.attributes and not inputs.imports:
            return inputs.attributes, ""
        if inputs.imports:
            file = Path(inputs.attributes)
            return import_attributes(self._client, file, vocabulary_id, self._console, inputs.sentences_of), ""
        job = self._start("enrich", vocabulary_id=vocabulary_id, **(inputs.enrich or {}))
        if job.ended:
            print_report(job, self._console)
            described = job
        else:
            described = follow_enrichment(self._client, job, self._console)
        return (described.result or {})["attribute_set_id"], missing_text(described)

    def _measure_teacher(self, dataset: "CreatedDataset", attribute_set_id: str | None) -> list[Row]:
        """Measure the teacher with the attributes and with names, before the training, and compare both."""
        if attribute_set_id is None or not (dataset.counts["held_out"] or dataset.counts["ood"]):
            return []
        text, concept = self._inputs.text, self._inputs.distill["concept"]
        by_text = self._evaluate_teacher(
            dataset.id, text=text, attribute_set_id=attribute_set_id, concept=concept, title="measure the teacher"
        )
        by_names = self._evaluate_teacher(dataset.id, title="measure the teacher by names")
        if warning := names_are_better(text, by_text, by_names):
            self._print(
                f"warning: {warning} {attribute_set_id} --dataset {dataset.id} --teacher {self._inputs.teacher}"
            )
        return [("teacher", text, by_text), ("teacher", "names", by_names)]

    def _evaluate_teacher(self, dataset_id: str, *, title: str, **options: Any) -> Mapping[str, Any]:
        job = self._start("evaluate", dataset_id=dataset_id, teacher=self._inputs.teacher, **options)
        evaluation: Mapping[str, Any] = (self._follow(job, title).result or {})["evaluation"]
        return evaluation

    def _distill(self, dataset_id: str, attribute_set_id: str | None) -> "Job":
        ids = {"dataset_id": dataset_id, "attribute_set_id": attribute_set_id}
        return self._follow(self._start("distill", **ids, **self._inputs.distill), "distil the student")

    def _download(self, checkpoint_id: str) -> None:
        from limbeck.client.downloads import DEFAULT_PARTS
        from limbeck.commands.download import fetch_bundle

        fetch_bundle(self._client, checkpoint_id, self._inputs.out, DEFAULT_PARTS, quiet=self._console.stderr)

    def _print_results(self, trained: Mapping[str, Any], teacher_rows: list[Row], job_id: str) -> None:
        evaluation, text = trained["evaluation"], self._inputs.text
        if is_measured(evaluation):
            rows = teacher_rows or [("teacher", text, result) for result in evaluation["teacher"]]
            self._console.print(results_table([("student", text, evaluation), *rows]))
        else:
            self._print(
                "not measured: all images are for training; a run with --split "
                f"{DEFAULT_SPLIT} measures what to expect on seen and unseen labels"
            )
        if trained.get("checkpoint_id"):
            self._print(f"student {trained['checkpoint_id']} in {self._inputs.out}")
            self._print(f"try it: limbeck classify {self._inputs.out} IMAGE")
        else:
            self._print(no_student_text(job_id))

    def _start(self, kind: Any, **options: Any) -> "Job":
        return start(self._client, self._console, kind, reuse=self._reuse, priority=self._priority, **options)

    def _follow(self, job: "Job", title: str) -> "Job":
        from limbeck.progress import follow

        return job if job.ended else follow(self._client, job, self._console, title=title)

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _attributes(given: str, kind: str) -> str:
    """An attribute set, or a file that exists. Raises BadInput."""
    if given and kind == "names":
        raise BadInput("--text names uses no attributes: leave --attributes out, or choose another text")
    if given and not given.startswith("ats_") and not Path(given).exists():
        raise BadInput(f"--attributes {given}: there is no such file; an attribute set begins with ats_")
    return given


def _check_no_llm(options: Mapping[str, object], reason: str) -> None:
    """Raise BadInput for an option of the LLM in a run that asks none."""
    if given := next((name for name, value in options.items() if value), None):
        raise BadInput(f"{given} is for the LLM, and with {reason} none is asked: leave one of them out")


def _enrich_options(kind: str, strategies: str, teacher: str) -> dict[str, Any]:
    """The strategies of a text, and the teacher if a strategy compares labels. Raises BadInput."""
    names = [name.strip() for name in (strategies or _STRATEGIES.get(kind, "describe")).split(",") if name.strip()]
    if not names:
        raise BadInput(f"--strategies {strategies!r}: separate strategies by commas, for example sentence,phrases")
    needs_teacher = any(name.partition("@")[0] == "contrast" for name in names)
    return {"strategies": names, "teacher": teacher if needs_teacher else None}
