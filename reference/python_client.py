"""The Python client as a page: each resource with its methods, the options of each job kind, and the errors."""

import ast
import inspect
import textwrap
import typing
from collections.abc import Iterator

import limbeck
from limbeck.client import job_requests
from limbeck.client.synchronous.client import Client
from reference.tables import row

_HEAD = """# Python client

Written by `python -m reference`; a test compares this page with the code.

`pip install` of the wheel brings `Client` and `AsyncClient`, which need only httpx2 and pydantic:

<!-- snippet: checked; needs a running service and an LLM -->
```python
from limbeck import Client

with Client("http://127.0.0.1:8420") as client:
    birds = client.vocabularies.create("birds", ["Laysan albatross", "crested auklet"], domain="birds")
    job = client.jobs.wait(client.jobs.create("enrich", vocabulary_id=birds.id))
    for entry in client.attribute_sets.labels(job.result["attribute_set_id"]):
        print(entry.label, entry.sentence)
```

`AsyncClient` has the same methods as coroutines; what yields items here is an asynchronous iterator there.
"""


def markdown() -> str:
    """The whole page."""
    parts = [_HEAD, f"\n## `Client`\n\n{_text(Client)}\n\n{_text(Client.__init__)}\n"]
    parts += [_method(name, function) for name, function in _methods(Client)]
    for resource, kind in typing.get_type_hints(Client).items():
        parts.append(f"\n## `client.{resource}`\n\n{_text(kind)}\n")
        parts += [_method(f"{resource}.{name}", function) for name, function in _methods(kind)]
    parts.append("\n## Options of jobs\n\nFor `client.jobs.create(kind, …)` and `client.jobs.estimate(kind, …)`.\n")
    parts += [_options(kind) for kind in vars(job_requests).values() if typing.is_typeddict(kind)]
    parts.append("\n## Errors\n\n| error | meaning |\n|---|---|\n")
    errors = (getattr(limbeck, name) for name in sorted(limbeck.__all__))
    parts += [
        row(f"`{error.__name__}`", _text(error).partition("\n\n")[0])
        for error in errors
        if issubclass(error, Exception)
    ]
    return "".join(parts)


def _text(thing: object) -> str:
    """The docstring as Markdown: a section such as `Args:` becomes a list."""
    text = textwrap.dedent(inspect.getdoc(thing) or "")
    lines: list[str] = []
    in_section = False
    for line in text.splitlines():
        if line in ("Args:", "Raises:", "Returns:", "Yields:"):
            in_section = True
            lines += [f"*{line}*", ""]
        elif in_section and line.startswith("    ") and not line.startswith("     "):
            name, _, about = line.strip().partition(": ")
            lines.append(f"- `{name}`: {about}" if about else f"- {line.strip()}")
        elif in_section and line.startswith("     "):
            lines.append(f"  {line.strip()}")
        else:
            in_section = in_section and not line.strip()
            lines.append(line)
    return "\n".join(lines).strip()


def _methods(kind: type) -> Iterator[tuple[str, object]]:
    for name, function in vars(kind).items():
        if not name.startswith("_") and callable(function):
            yield name, function


def _method(name: str, function: object) -> str:
    signature = inspect.signature(typing.cast(typing.Callable[..., object], function))
    parameters = [one.replace(annotation=inspect.Parameter.empty) for one in list(signature.parameters.values())[1:]]
    shown = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    return f"\n### `{name}{shown}`\n\n{_text(function)}\n"


def _options(kind: type) -> str:
    rows = [
        row(f"`{name}`", "yes" if name in kind.__required_keys__ else "", about)  # type: ignore[attr-defined]
        for name, about in _field_texts(kind).items()
    ]
    table = f"\n| option | required | meaning |\n|---|---|---|\n{''.join(rows)}" if rows else ""
    return f"\n### `{kind.__name__}`\n\n{_text(kind)}\n{table}"


def _field_texts(kind: type) -> dict[str, str]:
    """Field -> the text below it in the source, for the fields of the base classes and of the class itself."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    for base in body.bases:
        parent = vars(job_requests).get(ast.unparse(base))
        texts |= _field_texts(parent) if isinstance(parent, type) and typing.is_typeddict(parent) else {}
    for statement, following in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            below = following.value if isinstance(following, ast.Expr) else None
            texts[statement.target.id] = str(below.value) if isinstance(below, ast.Constant) else ""
    return texts
