"""Many rows in one statement: columns of Python values as a table that a query can join or insert from.

One parameter set per row would take two to five times as long on both databases.
"""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Integer, Text, bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import Subquery

ColumnType = type[int] | type[str]
_SQL_TYPES: dict[ColumnType, tuple[type[Integer] | type[Text], str]] = {
    int: (Integer, "integer"),
    str: (Text, "text"),
}


def values_table(tx: Session, columns: Mapping[str, tuple[ColumnType, Sequence[int | str | None]]]) -> Subquery:
    """A subquery with these columns of equal length: `{"position": (int, [3, 4]), "key": (str, ["a", "b"])}`."""
    types = {name: _SQL_TYPES[python_type] for name, (python_type, _) in columns.items()}
    if tx.get_bind().dialect.name == "postgresql":
        arrays = ", ".join(f"cast(:{name} as {sql_name}[])" for name, (_, sql_name) in types.items())
        query = text(f"select * from unnest({arrays}) as given({', '.join(columns)})")
        query = query.bindparams(*(bindparam(name, list(values)) for name, (_, values) in columns.items()))
    else:
        fields = ", ".join(f"json_extract(value, '$[{index}]') as {name}" for index, name in enumerate(columns))
        rows = json.dumps(list(zip(*(values for _, values in columns.values()), strict=True)))
        query = text(f"select {fields} from json_each(:given)").bindparams(given=rows)
    return query.columns(**{name: column_type for name, (column_type, _) in types.items()}).subquery("given")
