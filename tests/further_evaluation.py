"""What an evaluation measures beside accuracy, as JSON: recall, unknown images, domains and corruptions."""

from typing import Any

INTERVALS = {"images": [0.5, 0.7], "labels": [0.4, 0.8]}


def recall(first: float) -> dict[str, Any]:
    return {
        "ranks": [1, 5, 10],
        "recall": [first, 0.8, 0.9],
        "chance": [0.05, 0.2, 0.4],
        "num_queries": 60,
        "num_images": 70,
    }


def score(name: str, auroc: float) -> dict[str, Any]:
    return {
        "score": name,
        "auroc": auroc,
        "fpr95": 0.31,
        "oscr": 0.77,
        "threshold": 0.2,
        "known_accuracy": 0.85,
        "rejected": 0.6,
        "h_score": 0.703,
        "roc": [at / 50 for at in range(51)],
    }


def errors(mean: float, *, ce: float | None) -> dict[str, Any]:
    kinds = [
        {"kind": kind, "errors": [0.1, 0.2, 0.3, 0.4, 0.5], "error": 0.3, "ce": ce, "relative_ce": ce}
        for kind in ("fog", "jpeg_compression")
    ]
    return {
        "num_images": 40,
        "num_labels": 4,
        "clean_error": 0.05,
        "mean_error": mean,
        "mce": ce,
        "relative_mce": None if ce is None else 1.25,
        "kinds": kinds,
    }


FURTHER: dict[str, Any] = {
    "recall": {"id": {"image_to_image": recall(0.61), "text_to_image": None}, "ood": None},
    "open_set": {
        "num_labels": 4,
        "num_images": 80,
        "num_outliers": 12,
        "target_rate": 0.05,
        "unknown": [
            {
                "kind": "near",
                "source": "unseen | labels",
                "num_images": 30,
                "scores": [score("cosine", 0.912), score("outliers", 0.934)],
                "rejected_among_all": None,
            }
        ],
    },
    "domains": {
        "id": {
            "mean": 0.55,
            "worst": "sketch",
            "worst_accuracy": 0.5,
            "mean_drop": 0.35,
            "domains": [
                {
                    "name": "sketch",
                    "accuracy": 0.5,
                    "training_domain": 0.9,
                    "drop": 0.4,
                    "num_labels": 4,
                    "num_images": 20,
                    "intervals": INTERVALS,
                }
            ],
        },
        "ood": None,
    },
    "corruptions": {
        "image_px": 224,
        "strengths": [1, 2, 3, 4, 5],
        "id": errors(0.3, ce=0.75),
        "ood": errors(0.4, ce=None),
        "baseline": errors(0.42, ce=None),
    },
}
