"""Colour profiles: conversion to sRGB, and profiles that change nothing."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from limbeck.shared.images.colour_profiles import srgb_transform
from limbeck.shared.images.decode import OpenedImage, PixelTraits, open_rgb
from tests.limbeck.shared.images.icc_files import cmyk_profile, grey_profile, rgb_profile
from tests.limbeck.shared.images.pictures import COLOURS, GREY, encoded, largest_difference

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.image_input("Decoding", "a wide colour profile (Display P3, Adobe RGB)", "converted to sRGB")
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_wide_profile_is_converted(format: str) -> None:
    flat = Image.new("RGB", (8, 8), (180, 60, 60))
    plain, tagged = (
        open_rgb(encoded(flat, format, quality=100, **given)) for given in ({}, {"icc_profile": rgb_profile()})
    )
    expected = ImageCms.profileToProfile(
        plain,
        ImageCms.ImageCmsProfile(io.BytesIO(rgb_profile())),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert largest_difference(tagged, expected) <= 1
    # The same numbers mean a stronger red in the wider space.
    assert tagged.getpixel((0, 0))[0] > plain.getpixel((0, 0))[0] + 8


@pytest.mark.image_input("Decoding", "a profile of sRGB, under any name", "the pixels stay as they are, to the bit")
def test_srgb_profile_changes_nothing() -> None:
    for format in ("PNG", "JPEG"):
        opened = OpenedImage(encoded(COLOURS, format, icc_profile=SRGB))
        assert opened.traits == PixelTraits.NONE
        assert largest_difference(opened.rgb(), open_rgb(encoded(COLOURS, format))) == 0


@pytest.mark.image_input("Decoding", "CMYK with a colour profile", "converted to sRGB with it")
@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_profile_is_used(format: str) -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    shown = open_rgb(encoded(cyan, format, icc_profile=cmyk_profile())).getpixel((4, 4))
    assert max(shown) - min(shown) <= 2  # this printer prints every ink grey
    assert 100 < shown[0] < 230
    blank = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    assert min(open_rgb(encoded(blank, format, icc_profile=cmyk_profile())).getpixel((4, 4))) >= 253


@pytest.mark.image_input("Decoding", "CMYK without a profile", "converted by the plain formula")
@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_without_profile(format: str) -> None:
    shown = open_rgb(encoded(COLOURS.convert("CMYK"), format, quality=100))
    assert float(np.abs(np.asarray(shown, np.int16) - np.asarray(COLOURS, np.int16)).mean()) < 3


@pytest.mark.image_input("Decoding", "greyscale with a colour profile", "converted to sRGB with it")
def test_grey_profile_is_used() -> None:
    middle = Image.new("L", (8, 8), 100)
    shown = open_rgb(encoded(middle, "PNG", icc_profile=grey_profile(1.0)))
    assert shown.mode == "RGB"
    assert shown.getpixel((0, 0)) == pytest.approx((168, 168, 168), abs=2)  # linear 100/255 in sRGB
    with_alpha = Image.merge("LA", (middle, Image.new("L", (8, 8), 0)))
    assert open_rgb(encoded(with_alpha, "PNG", icc_profile=grey_profile(1.0))).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.image_input("Decoding", "greyscale with a colour profile of RGB", "converted to sRGB, as in browsers")
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_rgb_profile_of_greyscale_is_used(format: str) -> None:
    grey = Image.new("L", (8, 8), 100)
    opened = OpenedImage(encoded(grey, format, icc_profile=rgb_profile(gamma=1.8)))
    expected = open_rgb(encoded(grey.convert("RGB"), format, icc_profile=rgb_profile(gamma=1.8)))
    assert largest_difference(opened.rgb(), expected) == 0
    assert largest_difference(opened.rgb(), grey.convert("RGB")) > 5
    assert opened.traits == PixelTraits.CHANGED
    assert OpenedImage(encoded(grey, format, icc_profile=SRGB)).traits == PixelTraits.NONE


@pytest.mark.image_input("Decoding", "a damaged colour profile, or one of another kind of image", "ignored")
@pytest.mark.parametrize("profile", [b"x" * 200, SRGB[:300], grey_profile(1.0), cmyk_profile(), b"\0" * 128])
def test_unusable_profile_is_ignored(profile: bytes) -> None:
    opened = OpenedImage(encoded(COLOURS, "PNG", icc_profile=profile))
    assert opened.traits == PixelTraits.NONE
    assert largest_difference(opened.rgb(), COLOURS) == 0


def test_profile_of_a_palette_image_and_of_one_with_alpha_is_used() -> None:
    flat = Image.new("RGB", (8, 8), (180, 60, 60))
    expected = open_rgb(encoded(flat, "PNG", icc_profile=rgb_profile()))
    for image in (flat.quantize(4), flat.convert("RGBA")):
        assert largest_difference(open_rgb(encoded(image, "PNG", icc_profile=rgb_profile())), expected) <= 1
    transparent = flat.convert("RGBA")
    transparent.putalpha(128)
    half = open_rgb(encoded(transparent, "PNG", icc_profile=rgb_profile()))
    blended = np.asarray(expected, np.float64) * 128 / 255 + 255 * 127 / 255
    assert float(np.abs(np.asarray(half) - blended).max()) <= 1


@pytest.mark.image_input("Decoding", "Lab, YCbCr", "converted to sRGB")
def test_other_colour_spaces() -> None:
    soft = COLOURS.point(lambda value: 96 + value // 4)
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(soft, to_lab)
    assert lab is not None
    assert largest_difference(open_rgb(encoded(lab, "TIFF")), soft) <= 4
    assert largest_difference(open_rgb(encoded(soft.convert("YCbCr"), "TIFF")), soft) <= 3


def test_images_without_profile_need_no_transform() -> None:
    assert srgb_transform(COLOURS, None) is None
    assert srgb_transform(GREY, b"") is None
