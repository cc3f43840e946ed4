"""Any colour mode → sRGB: profile applied, 16 bits brought to 8, transparency laid on white."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from headstart.errors import ImageError

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform


def srgb(image: Image.Image) -> Image.Image:
    """Decodes the pixels of an opened image: RGB, as displayed on white."""
    tiles = getattr(image, "tile", None)
    raw = str(tiles[0].args) if tiles else ""
    image.load()
    alpha = _alpha(image, raw)
    profile = image.info.get("icc_profile")
    image.info.pop("transparency", None)  # it is in `alpha` now; Pillow would warn about it
    colour = _by_profile(_colour(image), profile)
    if alpha is None:
        return colour
    white = Image.new("RGB", colour.size, "white")
    white.paste(colour, mask=alpha)
    return white


def _colour(image: Image.Image) -> Image.Image:
    """The pixels without alpha, as L, RGB, CMYK or LAB."""
    if image.mode.startswith("I"):
        return Image.fromarray(_high_bytes(image))
    if image.mode == "F":
        raise ImageError("Floating-point pixels have no agreed white. Save 8 or 16 bits.", "unreadable")
    if image.mode in ("1", "L", "LA", "La"):
        return image.convert("LA").getchannel("L") if image.mode == "La" else image.convert("L")
    return image if image.mode in ("RGB", "CMYK", "LAB") else image.convert("RGB")


def _high_bytes(image: Image.Image) -> np.ndarray:
    """(H, W) uint8: the upper 8 of an image's 16 (or, by a TIFF's tags, 12) bits, never clipped."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise ImageError("Pixels beyond 16 bits have no agreed white. Save 8 or 16 bits.", "unreadable")
    tags = getattr(image, "tag_v2", {})
    bits = 12 if tags.get(258, (16,))[0] == 12 else 16
    high = (values >> (bits - 8)).astype(np.uint8)
    return 255 - high if tags.get(262) == 0 else high  # TIFF's WhiteIsZero, which Pillow leaves as it is


def _by_profile(colour: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB of an L, RGB, CMYK or LAB image; a bad profile, or one of another colour space, is passed over."""
    from PIL import ImageCms

    if colour.mode == "LAB":
        return cast(Image.Image, ImageCms.applyTransform(colour, _from_lab()))
    if profile and (transform := to_srgb(profile, colour.mode)):
        return cast(Image.Image, ImageCms.applyTransform(colour, transform))
    return colour if colour.mode == "RGB" else colour.convert("RGB")


@lru_cache(maxsize=16)
def to_srgb(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """How the profile's colours become sRGB; None where they are sRGB, or the profile can't be used.

    Preparing this takes longer than decoding many an image, and the images of one camera share a profile.
    """
    from PIL import ImageCms

    try:
        embedded = ImageCms.ImageCmsProfile(BytesIO(profile))
        if ImageCms.getProfileDescription(embedded).lower().startswith("srgb"):
            return None
        return ImageCms.buildTransform(embedded, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # noqa: BLE001 - a bad profile never loses the pixels
        return None


@lru_cache(maxsize=1)
def _from_lab() -> ImageCmsTransform:
    from PIL import ImageCms

    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, rgb, "LAB", "RGB")


def _alpha(image: Image.Image, raw: str) -> Image.Image | None:
    """Opacity as an L image, or None. `raw` names the samples' layout in the file."""
    key = image.info.get("transparency")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or (image.mode == "P" and key is not None):
        return image.convert("RGBA").getchannel("A")
    if key is None:
        return None
    # Pillow keeps the key as it is in the file but widens (or, of 16-bit RGB, narrows) the pixels.
    if ";16" in raw and image.mode == "RGB":
        key = tuple(value >> 8 for value in key)
    elif isinstance(key, int):
        key *= {"L;2": 85, "L;4": 17}.get(next((n for n in ("L;2", "L;4") if n in raw), ""), 1)
    values = np.asarray(image.convert("L") if image.mode == "1" else image)
    see_through = (values == key).reshape(image.height, image.width, -1).all(axis=2)
    return Image.fromarray(np.where(see_through, 0, 255).astype(np.uint8))
