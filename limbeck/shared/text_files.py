"""Bytes of a file as text: Unicode in its encodings, Windows-1252 as the last resort, and no binary files.

The readers of label files and of attribute files use it.
"""

import io
import re
import zipfile
from dataclasses import dataclass, field

PARQUET_MAGIC = b"PAR1"
_EXPORT = "save its content as CSV or as text"
_OTHER = "give a text file"
_UNPACK = "unpack it and give the file inside"
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (PARQUET_MAGIC, "a Parquet file", _EXPORT),
    (b"\x1f\x8b", "a gzip file", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x89PNG", "a PNG image", _OTHER),
    (b"\xff\xd8\xff", "a JPEG image", _OTHER),
    (b"GIF8", "a GIF image", _OTHER),
    (b"RIFF", "a RIFF file (WebP, WAV or AVI)", _OTHER),
    (b"II*\x00", "a TIFF image", _OTHER),
    (b"MM\x00*", "a TIFF image", _OTHER),
    (b"%PDF", "a PDF document", _EXPORT),
    (b"{\\rtf", "an RTF document", _EXPORT),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", _EXPORT),
    (b"ARROW1", "an Arrow file", _EXPORT),
    (b"\xff\xff\xff\xff\x10\x00\x00\x00", "an Arrow stream", _EXPORT),
    (b"ORC", "an ORC file", _EXPORT),
    (b"Obj\x01", "an Avro file", _EXPORT),
    (b"\x93NUMPY", "a NumPy array", _EXPORT),
    (b"\x89HDF", "an HDF5 file", _EXPORT),
    (b"MATLAB 5.0", "a MATLAB file", _EXPORT),
    (b"SQLite format 3", "an SQLite database", _EXPORT),
    (b"\x7fELF", "a program", _OTHER),
    (b"MZ\x90", "a program", _OTHER),
    *((b"\x80" + bytes([n]), "a Python pickle", _EXPORT) for n in range(2, 6)),
)
_ZIP_KINDS = (
    ("xl/", "an Excel workbook (.xlsx)", "save the sheet as CSV"),
    ("word/", "a Word document (.docx)", _EXPORT),
    ("ppt/", "a PowerPoint file", _EXPORT),
    ("Index/", "an Apple Numbers or Pages document", _EXPORT),
    ("content.xml", "an OpenDocument file", "save the sheet as CSV"),
)
_MOJIBAKE = re.compile("[\u00c3\u00c2][\u0080-\u00bf\u2018-\u203a\u0152\u0153\u0160\u0161]|\u00e2\u20ac")
_ERROR_PAGE = re.compile(
    r"(?:\d{3}:? )?(?:Not Found|Forbidden|Bad Request|Unauthorized|Internal Server Error)|Entry not found|"
    r"Invalid username or password\.?|Access Denied|Rate limit exceeded\.?",
    re.IGNORECASE,
)
_MANY = 0.3


class TextFileError(ValueError):
    """The file is no text, or its text cannot be decoded. `line` is the line of the fault, if it is known."""

    def __init__(self, detail: str, *, line: int | None = None) -> None:
        super().__init__(f"line {line}: {detail}" if line else detail)
        self.detail, self.line = detail, line


@dataclass
class DecodedText:
    """The text of a file with `\\n` as its only line end. `notes` and `warnings` are about its encoding."""

    text: str
    encoding: str = "UTF-8"
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def decode(data: bytes, *, expected: str = "text") -> DecodedText:
    """The text of a file. Raises TextFileError that names a binary format and what to do.

    `expected`: what the file should be, for the message.
    """
    _refuse_binary(data, expected)
    decoded = _decode(data)
    text = decoded.text.removeprefix("\ufeff").removesuffix("\x1a")
    if "\n" not in text and "\r" in text:
        decoded.notes.append("the lines end with CR, as on old Macs")
        text = text.replace("\r", "\n")
    decoded.text = text.replace("\r\n", "\n")
    if found := _MOJIBAKE.search(text):
        around = text[max(0, found.start() - 10) : found.end() + 10].split("\n")[0]
        decoded.warnings.append(f"accents look wrong ({around!r}): the file was saved in another encoding before")
    if "\ufffd" in text:
        decoded.warnings.append("the file has U+FFFD characters: an earlier conversion lost letters")
    _refuse_substitute(decoded.text)
    _refuse_control(decoded.text, expected)
    return decoded


def _decode(data: bytes) -> DecodedText:
    if data.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return _strict(data, "utf-32", "UTF-32")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _strict(data, "utf-16", "UTF-16")
    if name := _utf16_without_mark(data):
        return _strict(data, name, "UTF-16 without a byte order mark")
    try:
        return DecodedText(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return _legacy(data, error)


def _strict(data: bytes, codec: str, words: str) -> DecodedText:
    try:
        return DecodedText(data.decode(codec), words.split()[0], [f"the encoding is {words}"])
    except UnicodeDecodeError as error:
        raise TextFileError(f"is damaged {words} text (byte {error.start}: {error.reason}): save it as UTF-8") from None


def _utf16_without_mark(data: bytes) -> str | None:
    """The codec of text whose every second byte is mostly zero, as in UTF-16 of European languages."""
    sample = data[:4096]
    if len(sample) < 4 or len(data) % 2 or sample.count(0) < len(sample) / 8:
        return None
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if even == 0 and odd:
        return "utf-16-le"
    return "utf-16-be" if odd == 0 and even else None


def _legacy(data: bytes, error: UnicodeDecodeError) -> DecodedText:
    """Text that is not UTF-8, as Windows-1252; refused if that would give wrong letters."""
    line = data.count(b"\n", 0, error.start) + 1
    remedy = "save it as UTF-8"
    if _has_utf8_letters(data):
        raise TextFileError(f"is not UTF-8 (byte {error.start}), while other lines are: {remedy}", line=line)
    letters = sum(byte > 127 or chr(byte).isalpha() for byte in data)
    if sum(byte > 127 for byte in data) > _MANY * letters:
        raise TextFileError(f"is not UTF-8, and too many letters are not ASCII for Windows-1252: {remedy}", line=line)
    try:
        text, name = data.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError:
        text, name = data.decode("latin-1"), "Latin-1"
    word = next(word for word in text.split() if not word.isascii())
    return DecodedText(text, name, [], [f"the file is not UTF-8 and was read as {name}: check {word[:40]!r}"])


def _has_utf8_letters(data: bytes) -> bool:
    return (
        re.search(rb"[\xc3-\xdf][\x80-\xbf](?![\x80-\xbf])|[\xe1-\xef][\x80-\xbf]{2}(?![\x80-\xbf])", data) is not None
    )


def _refuse_binary(data: bytes, expected: str) -> None:
    if data.startswith(b"PK\x03\x04"):
        raise _binary(*_zip_kind(data), expected)
    for magic, words, remedy in _MAGIC:
        if data.startswith(magic) and (not magic.isalnum() or b"\x00" in data[:512] or magic == PARQUET_MAGIC):
            raise _binary(words, remedy, expected)
    if data[257:262] == b"ustar":
        raise _binary("a tar archive", _UNPACK, expected)


def _zip_kind(data: bytes) -> tuple[str, str]:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except zipfile.BadZipFile:
        return "a damaged zip file", _UNPACK
    for start, words, remedy in _ZIP_KINDS:
        if any(name.startswith(start) for name in names):
            return words, remedy
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)", _EXPORT
    return "a zip archive", _UNPACK


def _binary(words: str, remedy: str, expected: str) -> TextFileError:
    return TextFileError(f"is {words}, not {expected}: {remedy}")


def _refuse_substitute(text: str) -> None:
    """Refuse what a download gives instead of the file: a pointer of Git LFS, or the error of a server."""
    if text.startswith("version https://git-lfs.github.com/spec/"):
        raise TextFileError("is a pointer of Git LFS, not the file itself: run `git lfs pull`, or download the file")
    if len(text) < 100 and _ERROR_PAGE.fullmatch(text.strip()):
        raise TextFileError(f"is the error {text.strip()!r} of a server, not the file: download it again")


def _refuse_control(text: str, expected: str) -> None:
    """Refuse text with many control characters. A few are faults of their lines, which the reader reports."""
    sample = text[:65_536]
    control = sum(character < " " and character not in "\t\n\r" or character == "\x7f" for character in sample)
    if control > 2 and control > len(sample) / 50:
        nul = "NUL bytes" if "\x00" in sample else "control characters"
        raise TextFileError(f"is a binary file ({control:,} {nul}), not {expected}: {_EXPORT}")
