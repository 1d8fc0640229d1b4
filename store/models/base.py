"""The base class of all tables, and that of resources with an owner."""

from typing import Any

from sqlalchemy import JSON, Double, Index, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr

from store.json_types import LineJSON, TallyJSON

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Base(DeclarativeBase):
    """Column types, and constraint names that are the same on both databases and in Alembic."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        dict[str, Any]: Json,
        dict[str, list[int]]: Json,
        dict[str, int]: Json,
        dict[str, float]: Json,
        dict[str, object]: Json,
        dict[str, str | list[str]]: Json,
        dict[str, str]: Json,
        list[LineJSON]: Json,
        list[TallyJSON]: Json,
        list[dict[str, object]]: Json,
        list[str | None]: Json,
        list[str]: Json,
        list[int]: Json,
        float: Double,
        str: Text,
    }


class Owned:
    """A resource with an owner (`store.access.principals`); rows of releases without owners have none.

    Lists of an owner's resources are read in the order of `id`.
    """

    owner: Mapped[str | None]

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Index, ...]:
        name: str = cls.__tablename__  # type: ignore[attr-defined]
        return (Index(f"ix_{name}_owner_id", "owner", "id"),)
