"""Draws docs/pictures/: what each augmentation preset, MixUp and CutMix make of a picture.

The pictures that are augmented are drawn here too, so that there is nothing to ask anybody for.
"""

from __future__ import annotations

import argparse
import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from headstart.training.augment import PRESETS, augment, distinct
from headstart.training.mixing import mix

SIZE, FINE = 224, 4  # pixels a side of what is augmented; it is drawn so many times larger
TILE, GAP, CAPTION = 128, 8, 24
VIEWS = 8
Colour = tuple[int, int, int]


def gradient(top: Colour, bottom: Colour, share: float = 1) -> Image.Image:
    """A canvas that goes from one colour to another within `share` of its height."""
    side = SIZE * FINE
    rows = np.clip(np.linspace(0, 1 / share, side), 0, 1)[:, None, None]
    pixels = (1 - rows) * np.array(top) + rows * np.array(bottom)
    return Image.fromarray(np.broadcast_to(pixels, (side, side, 3)).astype(np.uint8))


def scaled(*points: float) -> list[float]:
    """Coordinates for the canvas, of those in pixels of the finished picture."""
    return [FINE * point for point in points]


def finished(canvas: Image.Image) -> np.ndarray:
    """(SIZE, SIZE, 3) uint8."""
    return np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS))


def glow(canvas: Image.Image, x: float, y: float, radius: float, colour: Colour) -> None:
    """Lightens the canvas around a place, softly."""
    mask = Image.new("L", canvas.size)
    ImageDraw.Draw(mask).ellipse(scaled(x - radius, y - radius, x + radius, y + radius), fill=150)
    canvas.paste(colour, mask=mask.filter(ImageFilter.GaussianBlur(FINE * radius / 2)))


def cloud(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, colour: Colour) -> None:
    """Three puffs on a flat base."""
    for dx, dy, r in ((-0.9, 0.1, 0.55), (0, -0.25, 0.8), (0.95, 0.12, 0.5)):
        box = (x + (dx - r) * size, y + (dy - r) * size, x + (dx + r) * size, y + (dy + r) * size)
        draw.ellipse(scaled(*box), fill=colour)
    base = (x - 1.45 * size, y + 0.1 * size, x + 1.45 * size, y + 0.65 * size)
    draw.rounded_rectangle(scaled(*base), FINE * 0.27 * size, fill=colour)


def coast() -> np.ndarray:
    """A lighthouse and a sailing boat in the evening: it has an up and down, and could be mirrored."""
    horizon = 128
    canvas = gradient((92, 148, 214), (255, 214, 170), share=horizon / SIZE)
    glow(canvas, 158, 112, 46, (255, 244, 205))
    draw = ImageDraw.Draw(canvas)
    draw.ellipse(scaled(141, 95, 175, 129), fill=(255, 238, 176))
    cloud(draw, 128, 40, 17, (252, 240, 236))
    cloud(draw, 196, 64, 11, (250, 228, 218))
    canvas.paste(gradient((66, 132, 168), (16, 58, 96), share=1 - horizon / SIZE), (0, horizon * FINE))
    rng = np.random.default_rng(1)
    for y in np.linspace(horizon + 2, SIZE - 4, 46):  # waves, and the sun's path on them
        nearness = (y - 124) / 100
        for _ in range(5):
            x, width = rng.uniform(0, SIZE), rng.uniform(4, 16) * (0.4 + nearness)
            draw.line(scaled(x, y, x + width, y), (88, 154, 186), round(FINE * (0.5 + nearness)))
        x, width = 158 + rng.normal(0, 4 + 14 * nearness), rng.uniform(3, 12)
        draw.line(scaled(x - width, y, x + width, y), (255, 226, 166), round(FINE * (0.6 + nearness)))
    draw.polygon(scaled(150, 178, 208, 178, 198, 192, 160, 192), fill=(120, 42, 40))  # the boat
    draw.rectangle(scaled(150, 176, 208, 179), fill=(246, 240, 228))
    draw.line(scaled(180, 178, 180, 116), (88, 62, 46), FINE * 2)
    draw.polygon(scaled(182, 119, 182, 173, 212, 173), fill=(250, 248, 240))
    draw.polygon(scaled(178, 126, 178, 173, 156, 173), fill=(232, 106, 70))
    draw.polygon(scaled(0, 150, 30, 138, 70, 142, 96, 164, 112, 190, 134, 224, 0, 224), fill=(74, 66, 70))
    draw.polygon(scaled(66, 224, 78, 186, 84, 153, 96, 164, 112, 190, 134, 224), fill=(58, 52, 58))
    draw.polygon(scaled(0, 150, 30, 138, 70, 142, 84, 153, 40, 160, 0, 178), fill=(98, 122, 78))
    lighthouse(draw)
    for x, y, size in ((104, 74, 8), (120, 84, 6), (88, 62, 5)):  # gulls
        for side in (-1, 1):
            wing = scaled(x, y, x + side * size * 0.5, y - size * 0.45, x + side * size, y - size * 0.1)
            draw.line(wing, (52, 56, 74), FINE, joint="curve")
    return finished(canvas)


def lighthouse(draw: ImageDraw.ImageDraw) -> None:
    """White with red bands, its gallery and its lamp; it gets narrower upwards."""
    bottom, top, middle = 146, 50, 47
    edges = np.linspace(bottom, top, 6)
    for band, (low, high) in enumerate(pairwise(edges)):
        wide, narrow = (10 + 7 * (y - top) / (bottom - top) for y in (low, high))
        points = (middle - wide, low, middle + wide, low, middle + narrow, high, middle - narrow, high)
        draw.polygon(scaled(*points), fill=(200, 52, 48) if band % 2 == 0 else (250, 246, 240))
        shade = (
            middle + 0.45 * wide,
            low,
            middle + wide,
            low,
            middle + narrow,
            high,
            middle + 0.45 * narrow,
            high,
        )
        draw.polygon(scaled(*shade), fill=(164, 38, 40) if band % 2 == 0 else (214, 208, 208))
    draw.rectangle(scaled(34, 46, 60, 51), fill=(54, 54, 62))
    draw.rectangle(scaled(39, 31, 55, 46), fill=(255, 232, 140))
    for x in (39, 47, 55):
        draw.line(scaled(x, 31, x, 46), (54, 54, 62), FINE)
    draw.polygon(scaled(36, 31, 58, 31, 47, 20), fill=(168, 40, 42))
    draw.rounded_rectangle(scaled(43, 132, 51, 147), FINE * 4, fill=(70, 48, 42))
    draw.rectangle(scaled(45, 88, 50, 96), fill=(70, 84, 110))


def balloons() -> np.ndarray:
    """Hot-air balloons over hills, to be mixed with the coast."""
    canvas = gradient((58, 132, 206), (222, 238, 244))
    draw = ImageDraw.Draw(canvas)
    cloud(draw, 44, 112, 15, (250, 252, 255))
    cloud(draw, 196, 50, 12, (250, 252, 255))
    x = np.linspace(0, SIZE, 60)
    for base, height, wave, colour in (
        (168, 12, 46, (126, 168, 130)),
        (184, 9, 31, (92, 146, 92)),
        (204, 7, 58, (62, 116, 66)),
    ):
        ridge = base + height * np.sin(x / wave + base)
        points = [*np.c_[x, ridge].ravel(), SIZE, SIZE, 0, SIZE]
        draw.polygon(scaled(*points), fill=colour)
    for x0, y0, r, colours in (
        (122, 84, 50, [(214, 56, 52), (250, 202, 66), (240, 122, 48), (250, 240, 220)]),
        (42, 56, 20, [(96, 62, 150), (236, 208, 240), (150, 96, 190)]),
    ):
        balloon(draw, x0, y0, r, colours)
    return finished(canvas)


def balloon(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, colours: list[Colour]) -> None:
    """Striped gores, ropes and a basket."""
    for i, wide in enumerate(np.linspace(1, 0.14, len(colours) * 2 - 1)):
        colour = colours[i % len(colours)]
        draw.ellipse(scaled(x - wide * r, y - r, x + wide * r, y + r), fill=colour)
        above, below = wide * r * 0.86, wide * r * 0.2
        skirt = (
            x - above,
            y + r * 0.5,
            x + above,
            y + r * 0.5,
            x + below,
            y + r * 1.22,
            x - below,
            y + r * 1.22,
        )
        draw.polygon(scaled(*skirt), fill=colour)
    for side in (-0.17, 0.17):
        draw.line(scaled(x + side * r, y + r * 1.22, x + side * r, y + r * 1.5), (70, 56, 48), FINE)
    basket = (x - 0.2 * r, y + 1.48 * r, x + 0.2 * r, y + 1.74 * r)
    draw.rounded_rectangle(scaled(*basket), FINE * 0.05 * r, fill=(124, 82, 48))


def cells() -> np.ndarray:
    """Stained cells under a microscope: turned or mirrored, they mean the same."""
    canvas = gradient((246, 226, 232), (240, 216, 226))
    rng = np.random.default_rng(4)
    placed: list[tuple[float, float, float]] = []
    while len(placed) < 26:
        x, y, r = rng.uniform(-8, SIZE + 8), rng.uniform(-8, SIZE + 8), rng.uniform(11, 25)
        if all(np.hypot(x - a, y - b) > 0.96 * (r + c) for a, b, c in placed):
            placed.append((x, y, r))
            cell(canvas, x, y, r, rng)
    return finished(canvas.filter(ImageFilter.GaussianBlur(FINE * 0.5)))


def cell(canvas: Image.Image, x: float, y: float, r: float, rng: np.random.Generator) -> None:
    """A body with a membrane, a nucleus beside its middle, and grains."""
    draw = ImageDraw.Draw(canvas)
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    shape = 1 + 0.1 * np.sin(2 * angles + rng.uniform(0, 6)) + 0.05 * np.sin(3 * angles + rng.uniform(0, 6))
    tint = rng.uniform(-14, 14)

    def blob(middle: np.ndarray, radius: float, colour: tuple[float, float, float]) -> None:
        edge = middle + radius * shape[:, None] * np.c_[np.cos(angles), np.sin(angles)]
        draw.polygon(scaled(*edge.ravel()), fill=tuple(round(value) for value in colour))

    middle = np.array([x, y])
    blob(middle, r, (196, 128 + tint, 170))
    blob(middle, 0.9 * r, (226, 164 + tint, 196))
    nucleus = middle + rng.uniform(-0.25, 0.25, 2) * r
    blob(nucleus, 0.46 * r, (84, 52, 128 + tint))
    blob(nucleus - 0.06 * r, 0.34 * r, (116, 78, 160 + tint))
    for angle, far in zip(rng.uniform(0, 2 * np.pi, 9), rng.uniform(0.6, 0.8, 9), strict=True):
        gx, gy = middle + far * r * np.array([np.cos(angle), np.sin(angle)])
        draw.ellipse(scaled(gx - 1, gy - 1, gx + 1, gy + 1), fill=(188, 112, 164))


def row(tiles: list[tuple[str, np.ndarray, bool]]) -> Image.Image:
    """Pictures side by side with a caption each; what is shown a second time is pale."""
    width = len(tiles) * (TILE + GAP) + GAP
    sheet = Image.new("RGB", (width, TILE + GAP + CAPTION), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for i, (caption, pixels, pale) in enumerate(tiles):
        left = GAP + i * (TILE + GAP)
        tile = Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.LANCZOS)
        if pale:
            tile = Image.blend(tile, Image.new("RGB", tile.size, "white"), 0.75)
        sheet.paste(tile, (left, GAP))
        ink = (150, 150, 150) if pale else (40, 40, 40)
        draw.text((left + TILE / 2, GAP + TILE + CAPTION / 2), caption, ink, font, anchor="mm")
    return sheet


def views(preset: str, square: np.ndarray) -> Image.Image:
    """The picture and its next seven views."""
    sha256 = hashlib.sha256(square.tobytes()).hexdigest()
    count = distinct(preset, VIEWS)
    captions = ["the picture", *(f"view {view}" for view in range(1, count))]
    captions += [f"view {view} = {view % count}" for view in range(count, VIEWS)]
    return row(
        [
            (caption, augment(square, preset, 0, view, sha256), view >= count)
            for view, caption in enumerate(captions)
        ]
    )


def mixtures(kind: str, one: np.ndarray, other: np.ndarray) -> Image.Image:
    """Two pictures and six mixtures, sorted by how much of the first is left."""
    batch = np.stack([one, other]).astype(np.float32)
    drawn: list[tuple[float, np.ndarray]] = []
    seed = 0
    while len(drawn) < VIEWS - 2:
        maps, targets, _ = mix(kind, batch, np.eye(2), np.ones(2), np.random.default_rng(seed))
        seed += 1
        if 0 < targets[0, 1] < 1:  # otherwise it was mixed with itself
            drawn.append((float(targets[0, 0]), np.rint(maps[0]).astype(np.uint8)))
    drawn.sort(key=lambda pair: -pair[0])
    mixed = [(f"{share:.0%} + {1 - share:.0%}", pixels, False) for share, pixels in drawn]
    return row([("one picture", one, False), ("another", other, False), *mixed])


def main() -> None:
    """Writes one JPEG for each preset and each way to mix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs" / "pictures")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    scene, other = coast(), balloons()
    sheets = {preset: views(preset, cells() if preset == "dihedral" else scene) for preset in PRESETS}
    sheets |= {kind: mixtures(kind, scene, other) for kind in ("mixup", "cutmix")}
    for name, sheet in sheets.items():
        path = out / f"augment-{name}.jpg"
        sheet.save(path, quality=88, optimize=True)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
