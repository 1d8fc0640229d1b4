"""Makes the thumbnail of one image of a dataset, in a process with limited memory and time: a file below the data root
can be of any size, and a small file can decode to gigabytes."""

from pathlib import Path

from api.http.limited_process import LimitedProcesses
from api.http.problems import ProblemError
from distill.data.files.regular_files import confine_to
from distill.data.image_files.location import read_image
from limbeck.shared.images.unreadable import UnreadableImage


def _too_costly(what: str) -> ProblemError:
    return ProblemError(422, "image_too_costly", f"decoding the image takes too much {what}: store it smaller")


PROCESSES = LimitedProcesses(2, memory_bytes=4 * 2**30, time_s=15.0, too_costly=_too_costly)


def thumbnail(data_root: Path, file: Path, size_px: int) -> bytes:
    """The image as a JPEG whose longer side is at most `size_px`, without metadata of the file.

    Raises ProblemError: `image_missing` (404) for a file that is gone or lies outside the data root,
    `image_unreadable` and `image_too_costly` (422).
    """
    jpeg, _ = PROCESSES.run(make_thumbnail, data_root, file, size_px)
    return jpeg


def make_thumbnail(data_root: Path, file: Path, size_px: int) -> tuple[bytes, list[None]]:
    """`thumbnail`, in this process, which from then on opens no file outside of `data_root`."""
    from limbeck.shared.images.decode import small_jpeg  # imported late: it loads numpy

    confine_to(data_root)
    try:
        return small_jpeg(read_image(file), max_px=size_px), []
    except OSError as error:
        detail = f"the image is not in the folder of the dataset any more ({error.strerror}): put it back"
        raise ProblemError(404, "image_missing", detail) from None
    except UnreadableImage as error:
        raise ProblemError(422, "image_unreadable", str(error)[:300]) from None
