"""Remove the thinking of reasoning models from a response, so that no draft in it is taken for the answer.

Servers should put the thinking into a separate field. Many leave it in the text: between tags, after an opening tag
that the chat template already wrote (so that the text has only the closing tag), or in the channels of gpt-oss
(https://cookbook.openai.com/articles/openai-harmony), with or without its special tokens.
"""

import re

# Opening and closing marks by model family: DeepSeek, Qwen and many others (also `<seed:think>`); Magistral; Kimi-VL;
# OpenThinker; Cohere; Gemma.
_NAMES = r"(?:\w+:)?think(?:ing)?|thoughts?|thought_process|reason(?:ing)?|reflection|analysis|scratchpad"
_PAIRS = (
    (rf"<(?P<open>{_NAMES})(?:\s[^<>/]*)?>", rf"</(?P<close>{_NAMES})\s*>"),
    (r"\[THINK\]", r"\[/THINK\]"),
    (r"◁think▷", r"◁/think▷"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|channel>thought\b", r"<channel\|>"),
)
_EITHER = "|".join(f"(?P<start_{i}>{start})|(?P<end_{i}>{end})" for i, (start, end) in enumerate(_PAIRS))
_MARK = re.compile(rf"(?=[<\[◁])(?:{_EITHER})", re.IGNORECASE)  # the lookahead makes the search fast
_CAN_HAVE_MARK = re.compile(r"[<◁]|\[/?THINK\]", re.IGNORECASE)

_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]*(?:<\|constrain\|>\s*\w*\s*)?<\|message\|>")
_BROKEN_CHANNEL = re.compile(r"\s*(?:analysis|final)<\|message\|>")  # the server removed the first special token
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start)\|>")
# How thinking begins, and the mark after which the answer comes: gpt-oss without its special tokens, Granite, Apriel.
_WORDED = (
    (re.compile(r"\s*analysis(?=[A-Z\n\"'{])"), re.compile(r"assistant\s*final|(?<=\S)final(?=[{`])")),
    (re.compile(r"\s*Here is my thought process:"), re.compile(r"Here is my response:")),
    (re.compile(r"\s*Here are my reasoning steps:"), re.compile(r"\[BEGIN FINAL RESPONSE\]")),
)


def without_thinking(text: str) -> tuple[str, bool]:
    """The text without thinking, and whether the text ends inside its thinking.

    Text before a closing mark that nothing opened is thinking. Thinking that does not end reaches to the end.
    """
    for start, answer_mark in _WORDED:
        if start.match(text):
            marks = list(answer_mark.finditer(text))
            return (text[marks[-1].end() :], False) if marks else ("", True)
    if not _CAN_HAVE_MARK.search(text):
        return text, False
    if _BROKEN_CHANNEL.match(text):
        text = f"<|channel|>{text}"
    if "<|channel|>" in text:
        return _final_channel(text)
    kept: list[str] = []
    position, inside = 0, ""
    for mark in _MARK.finditer(text):
        kind, side, name = _kind_of(mark)
        if side == "start" and not inside:
            kept.append(text[position : mark.start()])
            inside = kind + name
        elif side == "end" and inside in ("", kind + name):
            if not inside:
                kept.clear()
            position, inside = mark.end(), ""
    if not inside:
        kept.append(text[position:])
    return "".join(kept), bool(inside)


def _kind_of(mark: re.Match[str]) -> tuple[str, str, str]:
    """(kind, `start` or `end`, name of the tag) of a mark."""
    group = next(name for name, value in mark.groupdict().items() if value and name not in ("open", "close"))
    side, _, kind = group.partition("_")
    return kind, side, (mark["open"] or mark["close"] or "").lower()


def _final_channel(text: str) -> tuple[str, bool]:
    """The text of the last final channel of gpt-oss; without one, of the channels other than analysis."""
    starts = list(_CHANNEL.finditer(text))
    ends = [*(start.start() for start in starts[1:]), len(text)]
    texts = [
        (start[1].lower(), _CHANNEL_END.split(text[start.end() : end])[0])
        for start, end in zip(starts, ends, strict=bool(starts))
    ]
    finals = [found for name, found in texts if name == "final"]
    if finals:
        return finals[-1], False
    others = [found for name, found in texts if name != "analysis"]
    return "\n".join(others), not others
