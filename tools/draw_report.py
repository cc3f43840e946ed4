"""Draws docs/pictures/report-*.png and served.png: report and page of a run on drawn biscuits.

    python tools/draw_report.py            needs Chromium; two minutes on two cores

The biscuits, whole or cracked, are drawn here, so that the pictures may be shown anywhere. Some cracks are
faint, and some whole ones have a shadow: a model makes mistakes on them, as there should be some to look at.
"""

from __future__ import annotations

import contextlib
import io
import math
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from playwright.sync_api import FilePayload, Page, sync_playwright

import headstart as hs
from headstart.progress import shown

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
SIDE = 240


def main() -> None:
    """Draws, trains, and takes the pictures."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), shown():
        data = Path("biscuits")
        for i in range(420):
            name = "cracked" if i % 3 == 0 else "whole"
            (data / name).mkdir(parents=True, exist_ok=True)
            biscuit(name == "cracked", i).save(data / name / f"{i:03}.jpg", quality=92)
        run = hs.train("biscuits", near_duplicates="ignore", test=0.3)
        with sync_playwright() as playwright:
            options = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox", "--disable-gpu"]}
            browser = playwright.chromium.launch(**options)  # type: ignore[arg-type]
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.goto(run.report.resolve().as_uri())
            take(page, "report-top", 0, 900)
            top = page.locator("#confusion").bounding_box()
            assert top
            take(page, "report-mistakes", int(top["y"]), 1150)
            with served(run.root) as address:
                page.goto(address)
                ask(page)
                take(page, "served", 0, 1140)
            browser.close()


@contextlib.contextmanager
def served(run: Path) -> Iterator[str]:
    """The address of `headstart serve`, once it answers."""
    command = [sys.executable, "-m", "headstart", "serve", str(run), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        address = next(word for word in process.stdout.readline().split() if word.startswith("http://"))
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/ready"):  # noqa: S310
                break
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def ask(page: Page) -> None:
    """Uploads three new pictures, one of something else, and asks why the first is what it is."""
    letter = Image.new("RGB", (SIDE, SIDE), "white")
    ImageDraw.Draw(letter).multiline_text((14, 14), "Dear biscuit,\n\nwhat are you?\n\nYours" * 2, "black")
    files: list[FilePayload] = []
    for name, picture in (
        ("tin 7.png", biscuit(True, 1002)),
        ("tin 8.png", biscuit(False, 1001)),
        ("letter.png", letter),
    ):
        content = io.BytesIO()
        picture.save(content, "PNG")
        files.append({"name": name, "mimeType": "image/png", "buffer": content.getvalue()})
    page.set_input_files("#file", files)
    page.wait_for_function("() => document.querySelectorAll('.answer:not(.waiting)').length == 3")
    page.locator(".why").first.click()
    page.wait_for_selector(".explained img")


def take(page: Page, name: str, top: int, height: int) -> None:
    """Saves a stretch of the page, with few colours: it is small, and letters stay sharp."""
    clip = {"x": 0, "y": top, "width": 1200, "height": height}
    picture = page.screenshot(full_page=True, clip=clip)  # type: ignore[arg-type]
    image = Image.open(io.BytesIO(picture)).convert("RGB").quantize(220, dither=Image.Dither.NONE)
    image.save(PICTURES / f"{name}.png", optimize=True)


def biscuit(cracked: bool, seed: int) -> Image.Image:
    """A biscuit on a table: wavy rim, holes, crumbs; and a crack, or perhaps the shadow of a thread."""
    rng = np.random.default_rng(seed)
    table = np.array([196, 188, 178]) + rng.normal(0, 4, (SIDE, SIDE, 1)) + rng.integers(-14, 15, 3)
    picture = Image.fromarray(np.clip(table, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    x, y = SIDE / 2 + rng.integers(-14, 15), SIDE / 2 + rng.integers(-14, 15)
    radius = float(rng.integers(74, 90))
    rim = [
        (x + r * math.cos(a), y + r * math.sin(a))
        for a in np.linspace(0, 2 * math.pi, 360, endpoint=False)
        for r in (radius + 3 * math.cos(24 * a),)
    ]
    brown = np.array([201, 152, 92]) + rng.integers(-16, 17)
    draw.polygon(rim, fill=tuple(int(c) for c in brown))
    inner = radius - 12
    draw.ellipse(
        (x - inner, y - inner, x + inner, y + inner), outline=tuple(int(c) for c in brown - 26), width=2
    )
    for a in np.linspace(0, 2 * math.pi, 9)[:-1]:
        hole = x + 0.5 * radius * math.cos(a), y + 0.5 * radius * math.sin(a)
        draw.ellipse((hole[0] - 3, hole[1] - 3, hole[0] + 3, hole[1] + 3), fill=(120, 84, 46))
    if cracked:
        line(draw, (x, y), radius, int(rng.integers(8, 50)), int(rng.integers(1, 3)), rng)
    elif rng.random() < 0.3:
        line(draw, (x, y), radius * 1.25, 14, 2, rng)
    grain = rng.normal(0, 7, (SIDE, SIDE, 1))
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8)), np.float64)
    return Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8))


def line(
    draw: ImageDraw.ImageDraw, centre: tuple[float, float], reach: float, dark: int, width: int,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """A jagged line through the biscuit, `dark` levels below its brown."""
    angle, offset = rng.uniform(0, math.pi), rng.uniform(-0.4, 0.4) * reach
    along, across = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
    points = []
    for t in np.linspace(-0.92, 0.92, 14):
        off = offset + rng.normal(0, 5)
        points.append(
            (
                centre[0] + t * reach * along[0] + off * across[0],
                centre[1] + t * reach * along[1] + off * across[1],
            )
        )
    brown = (201 - dark, 152 - dark, max(0, 92 - dark))
    draw.line(points, fill=brown, width=width)


if __name__ == "__main__":
    main()
