"""Distill jobs store their training config in sections: `{"epochs": 3}` becomes `{"schedule": {"epochs": 3}}`."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

from store.models import Json

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Short name -> (section, field) as of this revision. Written here because the code may change later.
_PATHS = {
    "student": ("student", "architecture"),
    **{name: ("student", name) for name in ("pretrained", "image_px", "test_crop")},
    **{name: ("data", name) for name in ("protocol", "shots", "augmentation", "view", "num_views")},
    **{
        name: ("objective", name)
        for name in (
            "losses",
            "mse_form",
            "im_cst_mode",
            "temperature",
            "vlalign_top_k",
            "vlalign_only_right",
            "cap_temperature",
            "queue_size",
            "unseen_neighbours",
            "context_tokens",
        )
    },
    "optimizer": ("optimizer", "name"),
    **{name: ("optimizer", name) for name in ("lr", "momentum", "weight_decay")},
    **{name: ("schedule", name) for name in ("epochs", "passes_per_epoch", "batch_size", "accumulate")},
    "schedule": ("schedule", "kind"),
    **{name: ("schedule", name) for name in ("milestones", "step_factor", "one_cycle_per", "warmup")},
    "average": ("weight_average", "kind"),
    **{name: ("weight_average", name) for name in ("average_from", "ema_decay")},
    "measured_epochs": ("evaluation", "measured_epochs"),
    **{
        name: ("system", name)
        for name in (
            "seed",
            "precision",
            "compile",
            "deterministic",
            "device",
            "num_workers",
            "threads",
            "decoded_gb",
            "save_every_s",
        )
    },
}


def upgrade() -> None:
    _convert(_in_sections)


def downgrade() -> None:
    _convert(_flat)


def _convert(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    jobs = sa.table("jobs", sa.column("id", sa.Text()), sa.column("kind", sa.Text()), sa.column("spec", Json))
    bind = op.get_bind()
    for id, spec in bind.execute(sa.select(jobs.c.id, jobs.c.spec).where(jobs.c.kind == "distill")).all():
        if isinstance(spec.get("config"), dict):
            converted = {**spec, "config": change(spec["config"])}
            bind.execute(sa.update(jobs).where(jobs.c.id == id).values(spec=converted))


def _in_sections(flat: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name, value in flat.items():
        section, field = _PATHS[name]
        config.setdefault(section, {})[field] = value
    return config


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """The config of the earlier release, which refuses fields it does not know: those of later releases are dropped."""
    return {
        name: config[section][field] for name, (section, field) in _PATHS.items() if field in config.get(section, {})
    }
