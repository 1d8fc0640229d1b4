"""Why labels have no attributes and why an enrichment stops, in words for users, each with its remedy.

One table for the command line, the results of jobs and the pages. Its keys are the reasons of questions
(`attributes.llm.results.REASONS`), those that a job adds for labels that were never sent, and the codes of errors that
end an enrich job.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_SEND_AGAIN = "Run the same enrichment again: only what is missing is sent."
_SERVER_LOG = "See the log of the LLM server for the cause."
_ANOTHER_MODEL = "use a model that follows response formats better (`limbeck llm probe` shows which the server knows)"


@dataclass(frozen=True)
class FailureReason:
    """`meaning` completes "no attributes, because …"; `remedy` is one or two sentences that say what to do."""

    meaning: str
    remedy: str


_UNKNOWN = FailureReason(
    "for a reason that this version does not know",
    f"The job's events have details (`limbeck jobs events JOB`). {_SEND_AGAIN}",
)

# Reasons of single questions.
_QUESTIONS: Mapping[str, FailureReason] = {
    "refused": FailureReason(
        "the model or its content filter declined to describe them",
        "Give an ambiguous label a sense and the vocabulary a domain, use another model, or write these lines.",
    ),
    "timeout": FailureReason(
        "no complete response came within the time limit",
        "Raise LIMBECK_LLM_TIMEOUT_S, or lower LIMBECK_LLM_CONCURRENCY if the server handles one request at a time.",
    ),
    "connection": FailureReason(
        "the connection to the LLM server broke",
        f"Check the network, the proxy and the LLM server. {_SEND_AGAIN}",
    ),
    "rate_limited": FailureReason(
        "the LLM server was over its rate limit, also after waiting",
        "Set LIMBECK_LLM_REQUESTS_PER_MIN and LIMBECK_LLM_TOKENS_PER_MIN to the limits of your account, and run the "
        "same enrichment again: only what is missing is sent.",
    ),
    "server_error": FailureReason(
        "the LLM server answered with a fault of its own, also after waiting",
        f"{_SERVER_LOG} {_SEND_AGAIN}",
    ),
    "bad_request": FailureReason(
        "the LLM server refuses the request in every response format",
        "Read the server's message in the examples. If it names a parameter, remove it with LIMBECK_LLM_EXTRA_BODY; "
        "if the prompt is too long for the model, use a model with a longer context.",
    ),
    "empty_answer": FailureReason(
        "the response had no content",
        f"Raise LIMBECK_LLM_MAX_TOKENS and LIMBECK_LLM_MAX_REASONING_TOKENS if the model thinks before it answers, or "
        f"{_ANOTHER_MODEL}.",
    ),
    "truncated_answer": FailureReason(
        "the JSON of the response was incomplete or malformed",
        f"Raise LIMBECK_LLM_MAX_TOKENS, or {_ANOTHER_MODEL}.",
    ),
    "invalid_answer": FailureReason(
        "the response did not fit the schema",
        f"Choose a simpler strategy such as `sentence`, or {_ANOTHER_MODEL}.",
    ),
    "answer_too_long": FailureReason(
        "the response was cut off at the token limit, also at the larger one",
        "The detail says how many tokens were reasoning. For a model that thinks, raise "
        "LIMBECK_LLM_MAX_REASONING_TOKENS or lower LIMBECK_LLM_REASONING_EFFORT; for another one, raise "
        "LIMBECK_LLM_MAX_TOKENS or use another model.",
    ),
    "degenerate_answer": FailureReason(
        "the model wrote white space or the same words until it was stopped",
        "Update the LLM server, raise the model's temperature a little, or use another model.",
    ),
    "wrong_label": FailureReason(
        "the response was about another label",
        "Give the label a sense and the vocabulary a domain, correct its spelling, or use a larger model.",
    ),
    "batch_unfinished": FailureReason(
        "no batch of the server processed the question, also after several batches",
        "Run the same enrichment again, or without `--batch`: only what is missing is sent.",
    ),
    "unreadable_image": FailureReason(
        "the image file could not be read",
        "Repair or remove the files that the examples name, and register the dataset again.",
    ),
    "stopped": FailureReason("the run was stopped before a response came", _SEND_AGAIN),
}

# Reasons that a job gives to labels without any response.
_LABELS: Mapping[str, FailureReason] = {
    "not_asked": FailureReason(
        "the job ended before it sent them",
        f"Remove the cause of the job's error. {_SEND_AGAIN}",
    ),
    "cancelled": FailureReason("the job was cancelled", _SEND_AGAIN),
    "worker_lost": FailureReason(
        "their worker stopped responding, several times in a row",
        f"See the worker's log: often it had too little memory or was ended. {_SEND_AGAIN}",
    ),
    "budget_spent": FailureReason(
        "the job's budget was spent",
        "Run the same enrichment again with a larger budget: responses are not paid for twice.",
    ),
}

# Errors that end a job.
_ERRORS: Mapping[str, FailureReason] = {
    "llm_wrong_key": FailureReason(
        "the LLM server refuses the key",
        "Set LIMBECK_LLM_API_KEY to a key of this server (or the variable that the endpoint names), and restart the "
        "workers.",
    ),
    "llm_unknown_model": FailureReason(
        "the LLM server knows no such model, or nothing at this base URL",
        "Compare the model's name with the server's list of models, and LIMBECK_LLM_BASE_URL with its documentation: "
        "the URL often ends in /v1.",
    ),
    "llm_quota_exhausted": FailureReason(
        "the account at the LLM server has no quota or credit left",
        f"Add credit or raise the limit of the account. {_SEND_AGAIN}",
    ),
    "llm_unreachable": FailureReason(
        "no LLM server responds at the base URL",
        f"Start the server, or correct LIMBECK_LLM_BASE_URL, the proxy and the CA file. {_SEND_AGAIN}",
    ),
    "llm_unavailable": FailureReason(
        "the LLM server was away for longer than the limit",
        "Everything received so far is kept. Run the same enrichment again when the server is back: only what is "
        "missing is sent. LIMBECK_LLM_OUTAGE_LIMIT_S sets the limit.",
    ),
    "llm_rate_limited": FailureReason(
        "the LLM server asks to wait for hours",
        "Everything received so far is kept. Run the same enrichment again after the time that the message names: only "
        "what is missing is sent. Another account, model or endpoint may have quota left.",
    ),
    "llm_unusable": FailureReason(
        "none of the model's first responses could be used",
        f"Look at its responses (`limbeck llm probe`), and {_ANOTHER_MODEL}.",
    ),
    "llm_bad_request": FailureReason(
        "the LLM server refuses every request",
        "Read the server's message. If it names a parameter, remove it with LIMBECK_LLM_EXTRA_BODY; "
        "`limbeck llm probe` shows what the server understands.",
    ),
    "llm_no_batches": FailureReason("the LLM server has no Batch API", "Run the same enrichment without `--batch`."),
    "llm_batch_failed": FailureReason(
        "the LLM server refuses the batch",
        "Read the server's message, or run the same enrichment without `--batch`.",
    ),
    "all_labels_failed": FailureReason(
        "no label could be described", "Follow the remedies of the reasons below, then run the same enrichment again."
    ),
    "all_images_failed": FailureReason(
        "no image could be captioned", "Follow the remedies of the reasons below, then run the same job again."
    ),
    "stalled": FailureReason(
        "the part made no progress for LIMBECK_STALL_LIMIT_S, several times in a row",
        "The message says where it stood: often a mount or a driver hangs. Repair it. A step that needs longer "
        "than the limit needs a higher LIMBECK_STALL_LIMIT_S.",
    ),
    "time_limit": FailureReason(
        "the part ran longer than LIMBECK_PART_LIMIT_S", "Raise the limit, or make the job smaller."
    ),
    "enrich_misconfigured": FailureReason(
        "the settings of the worker do not fit the job",
        f"Correct the setting that the message names, and restart the workers. {_SEND_AGAIN}",
    ),
}

FAILURE_REASONS: Mapping[str, FailureReason] = {**_QUESTIONS, **_LABELS, **_ERRORS}


def failure_reason(code: str) -> FailureReason:
    """The meaning and the remedy of a reason or an error; for an unknown one, where to find details."""
    return FAILURE_REASONS.get(code, _UNKNOWN)
