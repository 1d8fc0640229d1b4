"""Many rows in one statement: columns of values as a table that a query can join or insert from.

With a set of parameters for each row the same takes both databases two to five times as long.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Integer, Text, bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import Subquery

_TYPES: dict[type[int] | type[str], tuple[Any, str]] = {int: (Integer, "integer"), str: (Text, "text")}


def given(tx: Session, columns: Mapping[str, tuple[type[int] | type[str], Sequence[Any]]]) -> Subquery:
    """A subquery with these columns (`{"position": (int, [3, 4]), "key": (str, [...])}`), all of one length."""
    kinds = {name: _TYPES[kind] for name, (kind, _) in columns.items()}
    if tx.get_bind().dialect.name == "postgresql":
        arrays = ", ".join(f"cast(:{name} as {said}[])" for name, (_, said) in kinds.items())
        query = text(f"select * from unnest({arrays}) as given({', '.join(columns)})")
        query = query.bindparams(*(bindparam(name, list(values)) for name, (_, values) in columns.items()))
    else:
        read = ", ".join(f"json_extract(value, '$[{at}]') as {name}" for at, name in enumerate(columns))
        rows = json.dumps(list(zip(*(values for _, values in columns.values()), strict=True)))
        query = text(f"select {read} from json_each(:given)").bindparams(given=rows)
    return query.columns(**{name: kind for name, (kind, _) in kinds.items()}).subquery("given")
