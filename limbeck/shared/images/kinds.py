"""The kinds of image files that are read, by the suffix of their name. Imports no Pillow."""

IMAGE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".jp2",
    ".avif",
    ".heic",  # read with pillow-heif (extra `heic`); without it, such a file is bad and its reason names the extra
    ".heif",
)


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image. The decoder goes by the content alone."""
    return name.lower().endswith(IMAGE_SUFFIXES)
