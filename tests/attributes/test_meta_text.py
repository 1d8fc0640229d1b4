"""Meta text: error messages, refusals, placeholders and talk about the task, and descriptions that resemble them."""

import json
from pathlib import Path

import pytest

from attributes.meta_text import META_KINDS, MetaKind, is_no_answer, talks_about_task
from tests.conftest import SHARED_DATA

FOUND: dict[MetaKind, tuple[str, ...]] = {
    "error": (
        "Unusable response produced, maybe login session expired. Try 'pkill firefox' and 'chatgpt install'",
        "Unusable response produced by ChatGPT, maybe its unavailable.",
        "ChatGPT is at capacity right now",
        "Error communicating with OpenAI",
        "Error: Connection refused",
        "openai.error.RateLimitError: You exceeded your current quota",
        "Rate limit reached for gpt-3.5-turbo in organization org-x on tokens per min",
        "Traceback (most recent call last):",
        'File "describe.py", line 3. Traceback (most recent call last): KeyError',
        "HTTP 429",
        "HTTP/1.1 503 Service Unavailable",
        "HTTPError 500: something",
        "429 Too Many Requests",
        "Error code: 401 - invalid key",
        "Bad Gateway",
        "502 Bad Gateway nginx",
        "Something went wrong. If this issue persists please contact us through our help center at help.openai.com.",
        "Oops! Something went wrong.",
        "An error occurred",
        "There was an error generating a response",
        "The server had an error while processing your request. Sorry about that!",
        "That model is currently overloaded with other requests.",
        "Request timed out.",
        "The request timed out after 60 seconds",
        "Network error",
        "Failed to read response",
        "Failed to fetch the response from the server",
        "Invalid API key",
        "This model's maximum context length is 4097 tokens.",
        "The response was filtered due to the prompt triggering our content management policy.",
        "Too many requests in 1 hour. Try again later.",
        "<html><head><title>502 Bad Gateway</title></head></html>",
        '{"error": {"message": "quota"}}',
        "Expecting value: line 1 column 1 (char 0)",
        "Please try again later",
        "JSONDecodeError: Extra data",
        "503",
        "Hmm...something seems to have gone wrong.",
        "java.lang.NullPointerException",
        "Response blocked by safety filters",
    ),
    "refusal": (
        "I'm sorry, but I cannot describe this.",
        "I’m sorry, I can’t help with that.",
        "Sorry, I don't have information about this label.",
        "Sorry for the confusion.",
        "I apologize, but I am unable to provide that.",
        "Apologies, but this is not something I know.",
        "As an AI language model, I do not have eyes.",
        "As a large language model I have not seen one.",
        "A nice thing. As an AI, I have no opinion on it.",
        "Unfortunately, there isn't enough information",
        "Unfortunately, I was unable to find an image.",
        "It is not possible to describe",
        "It is impossible to determine its appearance.",
        "It's difficult to describe without seeing it.",
        "There is no definitive answer to this question as cranes vary.",
        "There's not enough information to describe it.",
        "I don't know.",
        "I do not have access to images.",
        "I am not sure what this refers to.",
        "I couldn't find a picture of it.",
        "The crane is tall. However, I cannot see the image.",
        "Could you please provide more context?",
        "Please provide more details about the label.",
        "Insufficient information",
        "No information available on this species.",
        '"Sayornis" is not a specific bird species, but rather a genus of flycatchers.',
        "There is no such thing as a Dodge Caliber Wagon.",
        "This request violates our content policy.",
        "The label is unclear",
        "I need more information to answer.",
        "I must decline.",
        "As a text-based AI model, it has no eyes.",
        "Description not available",
        "It depends on the species.",
        "Es tut mir leid, aber ich kann das nicht beschreiben.",
        "Leider kann ich dazu nichts sagen.",
        "Als KI-Sprachmodell habe ich keine Augen.",
        "Je suis désolé, mais je ne peux pas décrire cet objet.",
        "En tant qu'IA, je ne vois pas d'images.",
        "Lo siento, pero no puedo describirlo.",
        "Como modelo de lenguaje, no puedo ver imágenes.",
        "Desculpe, mas não consigo descrever isso.",
        "Mi dispiace, ma non posso aiutarti.",
        "Het spijt me, maar ik kan dat niet.",
        "Tyvärr kan jag inte hjälpa till.",
        "Przepraszam, ale nie mogę tego opisać.",
        "К сожалению, я не могу это описать.",
        "抱歉，我无法描述这个物体。",
        "作为一个人工智能语言模型，我没有视觉。",
        "对不起，我不知道。",
        "申し訳ありませんが、説明できません。",
        "죄송합니다. 설명할 수 없습니다.",
        "Üzgünüm, bunu tarif edemem.",
    ),
    "placeholder": (
        "N/A",
        "n/a.",
        "None",
        "null",
        "TODO",
        "unknown",
        "Unknown.",
        "Not available",
        "JSON",
        "The label",
        "[insert label]",
        "[Insert description here]",
        "<description>",
        "a <color> bill",
        "{label}",
        "The {class_name} has {attribute}.",
        "$subject",
        "a ${color} bill",
        "a photo of %s",
        "your answer here",
        "[object Object]",
        "undefined",
        "keine Angabe",
        "未知",
    ),
    "talk": (
        "Sure! Here is a description of the crane: it is tall.",
        "Certainly! The crane is tall.",
        "Here is a description of a crane",
        "Here's a one-sentence visual description:",
        "Note: colours vary.",
        "**Note:** colours vary.",
        "The crane is tall and grey. I hope this helps!",
        "I hope this helps",
        "Let me know if you need anything else.",
        "The crane is tall. Feel free to ask for more.",
        "Answer: a tall bird",
        "What does a crane look like?",
        "Please describe the crane",
        '{"label": "crane"',
        "Description: a tall bird",
        "The user asks for a description of a crane.",
        "Okay, so the user wants a crane.",
        "Let me think about this.",
        "<think>The crane",
        "Assuming you're referring to the bird, a crane is tall.",
        'The term "crane" can refer to many different things.',
        "There are many answers to this question, but a crane is tall.",
        "```json",
        "Natürlich! Hier ist eine Beschreibung.",
        "Bien sûr, voici une description.",
        "以下是描述",
    ),
}
DESCRIPTIONS = (
    "a long, hooked bill",
    "an error coin with two heads",
    "a sorry-looking dog with drooping ears",
    "a sorry looking hound",
    "an apology plant with white petals",
    "a screen that shows an error message",
    "Error message in white letters on a blue screen",
    "The screen shows 'HTTP 404' in large letters.",
    "a dialog box that says 'something went wrong'",
    "a traffic light with a red light on top",
    "The modem has four lights, of which one shows an error.",
    "A computer has a monitor, a keyboard and a mouse.",
    "A server is a tall black box with blinking lights.",
    "an unknown soldier's tomb of white marble",
    "a label on the front",
    "The label on the bottle is white with gold letters.",
    "none of its feathers are white",
    "a note pad with yellow paper",
    "Notes of brown on the wing",
    "a json-like pattern of brackets",
    "no visible ears",
    "no tail",
    "The model has a slim body.",
    "an AI-powered speaker with a fabric cover",
    "The ai is a sloth with three toes.",
    "a sure-footed animal with cloven hooves",
    "okapi with striped legs",
    "a hopeful face",
    "The bill is 5 to 6 cm long.",
    "a sign that costs $5",
    "(yellow) bill",
    "I see a cemetery with many tombstones.",
    "I couldn't help but notice the bright red hood.",
    "When someone answers a question, they raise a hand.",
    "A bird whose eyes cannot be seen.",
    "It is possible to see the bones through the skin.",
    "a context menu with grey entries",
    "a small, round image of a dog",
    "a please-touch sign in yellow",
    "It has a description plate of brass.",
    "a request bell on a counter",
    "the given name in white letters",
    "of course grain",
    "A great, broad wing",
    "Great black feet",
    "a rate limit sign with a red border",
    "The response team wears orange vests.",
    "a 404 page with a cartoon dinosaur",
    "Ein langer, gelber Schnabel",
    "un bec long et jaune",
    "un pico largo y amarillo",
    "黄色的长喙",
    "Als Jungvogel ist er braun.",
    "Como adulto es negro.",
    "Come nido usa un buco.",
    ".",
    "",
)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in FOUND.items() for text in texts])
def test_meta_text_is_found(kind: MetaKind, text: str) -> None:
    assert talks_about_task(text) == kind
    assert kind in META_KINDS


@pytest.mark.parametrize("text", DESCRIPTIONS)
def test_descriptions_are_not_meta_text(text: str) -> None:
    assert talks_about_task(text) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("I'm sorry, but I cannot describe that. Please provide an image.", "refusal"),
        ("抱歉，我无法描述。请提供图片。", "refusal"),
        ("N/A", "placeholder"),
        ("HTTP 429", "error"),
        ("I'm sorry, I cannot see the image. A crane is a tall grey bird.", None),
        ("Sure! A crane is a tall bird.", None),
        ("a tall grey bird", None),
    ],
)
def test_a_text_with_a_description_is_an_answer(text: str, kind: MetaKind | None) -> None:
    assert is_no_answer(text) == kind


def published_lines() -> list[str]:
    folder = SHARED_DATA
    texts = [
        line for path in sorted((folder / "li2023").glob("*/chatgpt.txt")) for line in path.read_text().splitlines()
    ]
    for path in (folder / "cupl" / "cupl_pets.json", folder / "dclip" / "descriptors_cub.json"):
        if path.is_file():
            texts += [text for lines in json.loads(path.read_text()).values() for text in lines]
    return texts


def test_published_files_have_five_lines_of_meta_text() -> None:
    """All five were read: two errors of the tool, two refusals, and one line that assumes what was asked."""
    texts = published_lines()
    if not (SHARED_DATA / "li2023" / "tiered-ImageNet").is_dir() or not Path(SHARED_DATA / "cupl").is_dir():
        pytest.skip(f"the published files are not in {SHARED_DATA}")
    found = [text[:30] for text in texts if talks_about_task(text)]
    assert sorted(found) == [
        '"Sayornis" is not a specific b',
        "Assuming you're referring to t",
        "There is no definitive answer ",
        "Unusable response produced, ma",
        "Unusable response produced, ma",
    ]
