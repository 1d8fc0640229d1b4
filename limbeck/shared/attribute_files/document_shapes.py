"""Shapes of JSON that other programs write, as records with a label and texts.

    {"label": {"0": "crane", …}, "text": {"0": "tall", …}}                     pandas, by column
    {"columns": ["label", "text"], "index": [0], "data": [["crane", "tall"]]}  pandas, `orient="split"`
    {"rows": [{"row_idx": 0, "row": {"label": "crane", …}}, …]}                the viewer of Hugging Face
    {"2_4": {"classes": [2, 4], "prompt_pairs": [{"attr_type": "color", "prompt_pair": ["grey", "white"]}]}}    FuDD

Files that have no texts of labels are named: a map of ids to labels, and several splits in one document.
"""

from collections.abc import Collection, Iterator, Mapping

_ID_MAPS = frozenset({"id2label", "label2id", "class_to_idx", "idx_to_class"})
_SPLITS = frozenset({"train", "test", "val", "valid", "validation", "dev", "base", "novel", "seen", "unseen"})


def as_records(data: object, label_fields: Collection[str]) -> object:
    """The data as a list of records, if it has one of the shapes above; else the data itself.

    `label_fields`: the names of a field that holds the label.
    """
    if isinstance(data, list):
        return [one["row"] if _is_viewer_row(one) else one for one in data]
    if not isinstance(data, dict):
        return data
    if isinstance(data.get("columns"), list) and isinstance(data.get("data"), list):
        names = [str(name) for name in data["columns"]]
        if all(isinstance(row, list) and len(row) == len(names) for row in data["data"]):
            return [dict(zip(names, row, strict=True)) for row in data["data"]]
    if isinstance(data.get("rows"), list) and data["rows"] and all(map(_is_viewer_row, data["rows"])):
        return [one["row"] for one in data["rows"]]
    if _is_fudd(data):
        return list(_fudd_records(data))
    return list(_by_column(data)) if _is_by_column(data, label_fields) else data


def not_texts(data: object) -> str | None:
    """Why a document cannot be texts by label, with the remedy; None if it can."""
    if not isinstance(data, dict) or not data:
        return None
    keys = {key.casefold() for key in data}
    if keys & _ID_MAPS and all(not isinstance(value, list) for value in data.values()):
        return "has labels and no texts: `limbeck vocab read FILE` reads such a file"
    if len(data) > 1 and keys <= _SPLITS and all(isinstance(value, dict | list) for value in data.values()):
        return f"has several parts ({', '.join(sorted(data))}): give the one that you want as a file of its own"
    return None


def _is_viewer_row(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("row"), dict) and "row_idx" in value


def _is_by_column(data: Mapping[str, object], label_fields: Collection[str]) -> bool:
    """Whether every field is an object with the same keys, and one of them is of labels."""
    columns = [value for value in data.values() if isinstance(value, dict)]
    if len(columns) < max(2, len(data)) or not any(key.casefold() in label_fields for key in data):
        return False
    return bool(columns[0]) and all(column.keys() == columns[0].keys() for column in columns)


def _by_column(data: Mapping[str, Mapping[str, object]]) -> Iterator[dict[str, object]]:
    for index in next(iter(data.values())):
        yield {name: column[index] for name, column in data.items()}


def _is_fudd(data: Mapping[str, object]) -> bool:
    return bool(data) and all(
        isinstance(pair, dict)
        and isinstance(pair.get("classes"), list)
        and len(pair["classes"]) == 2
        and isinstance(pair.get("prompt_pairs"), list)
        for pair in data.values()
    )


def _fudd_records(data: Mapping[str, Mapping[str, list[object]]]) -> Iterator[dict[str, object]]:
    """Each text with its class, which is a number or a name, and its kind of attribute as the question."""
    for pair in data.values():
        for one in pair["prompt_pairs"]:
            texts = one.get("prompt_pair") if isinstance(one, dict) else None
            texts = texts if isinstance(texts, list) else [texts]
            about = one.get("attr_type", "") if isinstance(one, dict) else ""
            for label, text in zip(pair["classes"], texts, strict=False):
                name = str(label) if isinstance(label, int) else label
                yield {"label": name, "text": text, "about": about}
