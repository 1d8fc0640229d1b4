"""Documents as values: JSON, JSON Lines, Python and JavaScript literals, YAML, and text protocol buffers.

Every parser keeps repeated keys, keeps YAML scalars as text (`no` stays `no`), and limits the nesting.
"""

import ast
import io
import json
import re
import tokenize
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress

import yaml

from limbeck.shared.label_files.types import LabelFileError, Pairs, Text, Value
from limbeck.shared.text import counted

_MAX_DEPTH = 50
_NAMES_ALONE = "save the names alone, such as ['cat', 'dog']"
_decode_json = json.JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")
_ATOM = re.compile(r"[^\s,\]}:\[{\"]+")
_ASSIGNMENT = re.compile(
    r"(?:(?P<js>export\s+default|module\.exports|(?:export\s+)?(?:const|let|var)\s)[^=\[({\n]{0,200}=?\s*|"
    r"[A-Za-z_][\w.]*[ \t]{0,9}(?::[ \t]{0,9}[\w\[\], .<>]{1,60}?)?[ \t]{0,9}=\s*)(?=[\[({])"
)
_TYPED = re.compile(  # `const char* names[] = {"cat"};`, `pub const L: [&str; 2] = ["cat"];`, `var l = []string{"cat"}`
    r"(?:const|static|constexpr|private|public|pub|final|let|var|val|auto|String|std|QStringList|vector|char)\b"
    r"[^\n\"'=]{0,120}=[^\n\"']{0,60}?(?=[\[{(]\s*[\"'])"
)
_CALL = re.compile(
    r"(?:[A-Za-z_]\w*\s*=\s*)?[A-Za-z_][\w.]*\(\s*(?=[\[{(])"
)  # array(['cat', 'dog'], dtype=object), dict_keys([...])
_TUPLE = re.compile(r"\(\s*[\"'].*[\"'],?\s*\)", re.DOTALL)
_LINE_COMMENT = re.compile(r"(^|[,\[{\s])//[^\n\"']*$", re.MULTILINE)
_SECTION = re.compile(r"\[[\w .-]+\]")
_YAML_KEYS = (
    r"names|labels|classes|categories|id2label|label2id|class_names|label_names|dataset_info|class_label|"
    r"label_map|labelmap|thing_classes|class_to_idx"
)
_YAML_DOCUMENT = re.compile(
    rf"^(?:(?:{_YAML_KEYS})[ \t]*:(?:[ \t]*(?:[#\[{{&*].*)?)$|-[ \t]+(?:name|label|id|class)[ \t]*:[ \t]+\S)",
    re.MULTILINE,
)
_YAML_FLOW = re.compile(rf"^(?:{_YAML_KEYS})[ \t]*:[ \t]*[\[{{]", re.MULTILINE)
_MARKUP = re.compile(r"\s*<(?:[!?]|[A-Za-z][\w:-]*[\s>/])")
_BLOCK = re.compile(r"\s*(?:#[^\n]*\n\s*)*[a-z_]+\s*\{\s*(?:#[^\n]*\n\s*)*[a-z_]+\s*:\s*[\"'\d]")
_FIELD = re.compile(
    r"#[^\n]*|\}|(?<![A-Za-z_])[A-Za-z_]+\s*(?::\s*)?\{|(?<![A-Za-z_])([A-Za-z_]+)\s*:\s*(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s{},;]+)"
)


class NotParsed(ValueError):
    """The text is not of this form. The message says where. `is_certain`: no other form is more likely."""

    def __init__(self, detail: str, *, is_certain: bool = False) -> None:
        super().__init__(detail)
        self.is_certain = is_certain


def parse_document(text: str, suffix: str, *, with_lines: bool = False) -> tuple[Value, str] | None:
    """(value, form in words) of a document; None if the text is not a document. `suffix` is a hint.

    `with_lines`: parse JSON slowly, so that its texts know their lines. Raises LabelFileError for a damaged document.
    """
    if _MARKUP.match(text) and ("</" in text or "/>" in text):
        raise LabelFileError("is an XML or HTML document: save the labels as CSV or as text, one per line")
    if _BLOCK.match(text):
        return _protocol_buffer(text), "a text protocol buffer (pbtxt)"
    json_parser: Callable[[str], Value] = json_with_lines if with_lines else parse_json
    if lines := _json_lines(text, json_parser):
        return lines, "JSON Lines"
    body, offset = _without_call(*_without_assignment(text))
    first = body.lstrip()[:1]
    if first in ("[", "{") or (first == "(" and (offset or _TUPLE.fullmatch(text.strip()))):
        return _bracketed(text, body, json_parser)
    if first == '"':
        try:
            return json_parser(text), "JSON"
        except NotParsed:
            return None
    return _yaml_document(text, suffix)


def _bracketed(text: str, body: str, json_parser: Callable[[str], Value]) -> tuple[Value, str] | None:
    """A document that starts with a bracket, in the first notation that fits."""
    problem = ""
    plain = _LINE_COMMENT.sub(r"\1", body)
    for parse, words in (
        (json_parser, "JSON"),
        (_python_literal, "a Python literal"),
        (_python_statements, "Python code"),
        (_yaml_flow, "YAML"),
    ):
        try:
            return parse(text if parse is _python_statements else body if parse is json_parser else plain), words
        except NotParsed as error:
            problem = str(error) if not problem or error.is_certain else problem
    first_line = body.lstrip().partition("\n")[0].rstrip(" ,")
    if _SECTION.fullmatch(first_line) and "=" in body:
        return None  # settings
    closer = "]" if first_line[0] == "[" else "}"
    if closer in first_line[1:-1] and not first_line.endswith(("]", "}", "[", "{", ",")) and '"' not in first_line:
        return None  # a name that starts with a bracket: `[brackets] cat`
    raise LabelFileError(f"looks like JSON and is not valid: {problem}")


def _without_assignment(text: str) -> tuple[str, int]:
    """The literal of `CLASSES = [...]` or `export const NAMES = {...};`, with blank lines for what was before it."""
    start = re.match(r"(?:\s*(?:#|//)[^\n]*\n|\s*/\*.*?\*/|\s*import\s[^\n]*\n)*\s*", text, re.DOTALL)
    offset = start.end() if start else 0
    found = _TYPED.match(text, offset)
    if found and (end := max(map(text.rfind, "]})"))) > found.end() and not text[end + 1 :].strip(" \t\n;,"):
        body = "[" + _LINE_COMMENT.sub(r"\1", text[found.end() + 1 : end]) + "]"
        return "\n" * text.count("\n", 0, found.end()) + body, found.end()
    found = _ASSIGNMENT.match(text, offset)
    if not found:
        return (text[offset:], 0) if text[offset : offset + 1] in ("[", "{") and offset else (text, 0)
    body = _LINE_COMMENT.sub(r"\1", text[found.end() :])
    if found["js"]:
        body = body[: body.rfind({"[": "]", "{": "}"}.get(body[0], ")")) + 1]
    body = body.rstrip().rstrip(";")
    return "\n" * text.count("\n", 0, found.end()) + body, found.end()


def _without_call(body: str, offset: int) -> tuple[str, int]:
    """The literal inside a call, as Python prints `dict_keys(['cat', 'dog'])` and `array([...], dtype=object)`."""
    stripped = body.strip()
    found = _CALL.match(stripped)
    if not found or not stripped.endswith(")"):
        return body, offset
    end = stripped.rfind({"[": "]", "{": "}", "(": ")"}[stripped[found.end()]], 0, -1)
    rest = stripped[end + 1 : -1]
    if end < 0 or not re.fullmatch(r"\s*,?\s*(?:\w+\s*=[^\[\]{}]*)?", rest):
        return body, offset
    return "\n" * body[: body.find(stripped)].count("\n") + stripped[found.end() : end + 1], offset + found.end()


def parse_json(text: str) -> Value:
    """The value of a JSON document. Raises NotParsed."""
    try:
        value: Value = json.loads(text, object_pairs_hook=Pairs)
        return value
    except json.JSONDecodeError as error:
        raise NotParsed(f"{error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise NotParsed("it is nested too deeply") from None


def json_with_lines(text: str) -> Value:
    """The value of a JSON document whose texts know their lines; slower than `parse_json`. Raises NotParsed."""
    parse_json(text)  # the errors of the standard library
    value, _ = _json_value(text, _skip(text, 0), [0, 1], 0)
    return value


def _skip(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _json_value(text: str, position: int, place: list[int], depth: int) -> tuple[Value, int]:
    """(value at `position` of a valid document, end). `place`: a position before and its line."""
    if depth > _MAX_DEPTH:
        raise NotParsed("it is nested too deeply")
    if text[position] == '"':
        place[1] += text.count("\n", place[0], position)
        place[0] = position
        string, end = _decode_json(text, position)
        return Text(string, place[1]), end
    if text[position] not in "[{":
        found = _ATOM.match(text, position)
        return json.loads(found[0]) if found else None, found.end() if found else position + 1
    is_object, items, members = text[position] == "{", list[Value](), Pairs()
    position = _skip(text, position + 1)
    while text[position] not in "]}":
        item, position = _json_value(text, position, place, depth + 1)
        position = _skip(text, position)
        if is_object:
            value, position = _json_value(text, _skip(text, position + 1), place, depth + 1)
            members.members.append((item if isinstance(item, Text) else str(item), value))
            position = _skip(text, position)
        else:
            items.append(item)
        position = _skip(text, position + 1) if text[position] == "," else position
    return members if is_object else items, position + 1


def _json_lines(text: str, json_parser: Callable[[str], Value]) -> list[Value] | None:
    """The values of JSON Lines: objects or texts, at least two of them; None for another form."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) < 2 or any(line.strip()[0] not in '{["' or line.strip()[-1] not in '}]"' for _, line in lines):
        return None
    values: list[Value] = []
    for number, line in lines:
        try:
            values.append(_at_line(parse_json(line), number))
        except NotParsed as error:
            if values and lines[0][1].strip()[0] == "{" and not _is_json(text):
                raise LabelFileError(f"line {number} of the JSON Lines is not valid: {error}") from None
            return None
    return values


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _at_line(value: Value, line: int) -> Value:
    """The value with this line in its texts, two levels deep."""
    if isinstance(value, str):
        return Text(value, line)
    if isinstance(value, Pairs):
        return Pairs((Text(key, line), Text(item, line) if isinstance(item, str) else item) for key, item in value)
    if isinstance(value, list):
        return [Text(item, line) if isinstance(item, str) else item for item in value]
    return value


def _python_literal(text: str) -> Value:
    """The value of a Python literal, such as the dictionary `{0: 'tench, Tinca tinca', …}`. Raises NotParsed."""
    return _literal(_python_tree(text.strip() and f"(\n{text}\n)", "eval").body, -1)  # type: ignore[attr-defined]


def _python_statements(text: str) -> Value:
    """The value that Python code assigns to a name, if it is the only one. Raises NotParsed."""
    tree = _python_tree(text, "exec")
    values = [node.value for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]  # type: ignore[attr-defined]
    literals = [value for value in values if isinstance(value, ast.List | ast.Tuple | ast.Dict | ast.Set)]
    if len(literals) != 1:
        detail = f"it is code with {counted(len(literals), 'list')}; give the one with the names"
        raise NotParsed(detail, is_certain=len(literals) > 1)
    return _literal(literals[0], 0)


def _python_tree(text: str, mode: str) -> ast.AST:
    _refuse_joined_texts(text, shift=-1 if mode == "eval" else 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escape sequences such as "\d"
            return ast.parse(text, mode=mode)
    except SyntaxError as error:
        raise NotParsed(f"{error.msg} (line {max(1, (error.lineno or 1) - (mode == 'eval'))})") from None
    except (ValueError, RecursionError, MemoryError):
        raise NotParsed("it is no literal") from None


def _refuse_joined_texts(text: str, shift: int) -> None:
    """Python joins `'cat' 'dog'` to one text, which would become a separate label. Nesting too deep ends the search."""
    last, depth = tokenize.ENDMARKER, 0
    with suppress(tokenize.TokenError, SyntaxError):  # the parser reports these
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.OP:
                depth += (token.string in "([{") - (token.string in ")]}")
                if depth > _MAX_DEPTH + 1:
                    raise NotParsed("it is nested too deeply")
            if token.type == last == tokenize.STRING:
                line = token.start[0] + shift
                raise NotParsed(f"two texts have no comma between them (line {line})", is_certain=True)
            if token.type not in (tokenize.NL, tokenize.COMMENT):
                last = token.type


def _literal(node: ast.AST, shift: int, depth: int = 0) -> Value:
    """The value of a literal's node. `shift` is added to its line numbers."""
    if depth > _MAX_DEPTH:
        raise NotParsed("it is nested too deeply")
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, str | int | float)):
        return Text(node.value, node.lineno + shift) if isinstance(node.value, str) else node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [_literal(item, shift, depth + 1) for item in node.elts]
    if isinstance(node, ast.Dict):
        members = Pairs()
        for key, value in zip(node.keys, node.values, strict=True):
            name = _literal(key, shift, depth + 1) if key is not None else None
            if not isinstance(name, str | int | float):
                raise NotParsed("a key of the dictionary is not a text or number")
            line = key.lineno + shift if key is not None else None
            members.members.append((Text(str(name), line), _literal(value, shift, depth + 1)))
        return members
    raise NotParsed("it is no literal")


def _yaml_document(text: str, suffix: str) -> tuple[Value, str] | None:
    if text.startswith("---\n") and (end := text.find("\n---", 3)) > 0 and _YAML_DOCUMENT.search(text, 0, end):
        return _yaml_or_error(text[: end + 1]), "the YAML header of a document"
    if suffix not in (".yaml", ".yml") and not _YAML_DOCUMENT.search(text) and not _YAML_FLOW.search(text):
        return None
    value = _yaml_or_error(text)
    return None if isinstance(value, str) else (value, "YAML")


def _yaml_or_error(text: str) -> Value:
    try:
        return parse_yaml(text)
    except NotParsed as error:
        raise LabelFileError(f"looks like YAML and is not valid: {error}") from None


def _yaml_flow(text: str) -> Value:
    """YAML between brackets. Calls such as `[Label('road', 7)]` are code. Raises NotParsed."""
    with suppress(NotParsed):
        calls = (node for node in ast.walk(_python_tree(f"(\n{text.strip()}\n)", "eval")) if isinstance(node, ast.Call))
        if any(
            len(call.args) > 1 or call.keywords or isinstance(call.args[0], ast.Constant)
            for call in calls
            if call.args or call.keywords
        ):
            raise LabelFileError(f"is code with calls, not a list of labels: {_NAMES_ALONE}")
    return parse_yaml(text)


def parse_yaml(text: str) -> Value:
    """The value of a YAML document; every scalar is a text, as written. Raises NotParsed."""
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        return _yaml_value(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        raise NotParsed(f"{error.problem or 'syntax error'}{place}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise NotParsed(str(error).split("\n")[0]) from None


def _yaml_value(events: Iterator[yaml.Event]) -> Value:
    """The value of the first document, without recursion: libyaml's own composer crashes on deep nesting."""
    root: list[Value] = []
    anchors: dict[str, Value] = {}
    stack: list[tuple[list[Value], bool, str | None]] = [(root, False, None)]  # (flat items, is mapping, anchor)
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent) and root:
            raise NotParsed("it has several documents")
        if isinstance(event, yaml.ScalarEvent):
            value: Value = Text(event.value, event.start_mark.line + 1 if event.start_mark else None)
            _add(stack[-1][0], value, event.anchor, anchors)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise NotParsed(f"the alias *{event.anchor} is unknown or contains itself")
            stack[-1][0].append(anchors[event.anchor])
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            stack.append(([], isinstance(event, yaml.MappingStartEvent), event.anchor))
            if len(stack) > _MAX_DEPTH:
                raise NotParsed("it is nested too deeply")
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            items, is_mapping, anchor = stack.pop()
            _add(stack[-1][0], _pairs(items) if is_mapping else items, anchor, anchors)
    return root[0] if root else None


def _add(items: list[Value], value: Value, anchor: str | None, anchors: dict[str, Value]) -> None:
    items.append(value)
    if anchor:
        anchors[anchor] = value


def _pairs(items: list[Value]) -> Pairs:
    return Pairs(
        (key if isinstance(key, str) else "", value) for key, value in zip(items[::2], items[1::2], strict=True)
    )


def _protocol_buffer(text: str) -> list[Value]:
    """The blocks of `item { id: 1 name: 'person' }`."""
    blocks: list[Value] = []
    block = Pairs()
    line, last, depth, base = 1, 0, 0, 0
    for found in _FIELD.finditer(text):
        line += text.count("\n", last, found.start())
        last = found.start()
        if found[1]:
            base = base or depth
            if depth == base:
                value = found[2]
                quote = value[0] if value[0] in "\"'" else ""
                block.members.append(
                    (found[1], Text(value[1:-1].replace("\\" + quote, quote) if quote else value, line))
                )
        elif found[0] == "}":
            if depth == base and len(block):
                blocks.append(block)
                block = Pairs()
            depth -= 1
        elif not found[0].startswith("#"):
            depth += 1
    if depth:
        raise LabelFileError(f"the text protocol buffer ends inside a block (line {line}): add the missing brace")
    return blocks
