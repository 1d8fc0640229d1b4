"""The background that transparent parts of images are shown on: a colour as `#rrggbb`."""

from PIL import ImageColor

WHITE = "#ffffff"


def hex_colour(text: str) -> str:
    """A colour as `#rrggbb`, from `white`, `#fff`, `rgb(255, 255, 255)` or another form that CSS and Pillow know.

    Raises ValueError for an unknown colour, and for one that is transparent itself.
    """
    try:
        channels = ImageColor.getrgb(text.strip())
    except ValueError:
        raise ValueError(f'"{text}" is no colour: give a name such as white, or #rrggbb') from None
    if len(channels) != 3:
        raise ValueError(f'"{text}" has an alpha value: give the colour alone, as #rrggbb')
    return "#" + "".join(f"{channel:02x}" for channel in channels)
