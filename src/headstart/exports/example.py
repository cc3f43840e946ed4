"""The short program beside an export that runs it without headstart; the parity check runs it too."""

from __future__ import annotations

from pathlib import Path

from headstart.data.images import PADDING
from headstart.inference.bundle import BundleSpec
from headstart.rundir import write_text

EXAMPLE = "example.py"

PROGRAM = '''"""What {file} says of pictures, without headstart.

    pip install {libraries} numpy pillow
    python example.py PICTURE ...
"""
import json
import sys
from pathlib import Path

import numpy as np
{imports}
from PIL import Image, ImageOps

SIDE = {size}
here = Path(__file__).parent
labels = (here / "labels.txt").read_text(encoding="utf-8").split("\\n")
settings = json.loads((here / "settings.json").read_text(encoding="utf-8"))
costs = 1 - np.eye({classes})
for true, answer, cost in settings["costs"]:
    costs[true, answer] = cost
{opened}


def probabilities(images):
    """(N, {size}, {size}, 3) uint8 RGB to (N, {classes})."""
    return {asked}


def fit(path):
    """A picture as the network saw them in training ({mode})."""
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.mode.startswith("I"):  # 16 bits of grey, of which Pillow would keep the lowest eight
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("RGB")
{fit}


def decide(p):
    """The most probable class, or the least expected cost; and whether that is sure enough."""
    answer = (p @ costs).argmin() if settings["costs"] else p.argmax()
    return answer, p[answer] >= settings["thresholds"]["confidence"]


if __name__ == "__main__" and not sys.argv[1:]:
    sys.exit(__doc__)
failed = 0
for path in sys.argv[1:]:
    try:
        picture = np.asarray(fit(path))
    except OSError as error:
        print(f"  error  {{path}}: {{error}}")
        failed = 2
        continue
    p = probabilities(picture[None])[0]
    answer, sure = decide(p)
    print(f"{{p[answer]:7.1%}}  {{labels[answer]}}  {{path}}" + ("" if sure else "  not sure enough"))
if __name__ == "__main__":
    sys.exit(failed)
'''

FITS = {
    "letterbox": """\
    sides = [max(1, round(side * (SIDE / max(picture.size)))) for side in picture.size]
    square = Image.new("RGB", (SIDE, SIDE), {padding})
    square.paste(picture.resize(sides, Image.Resampling.BICUBIC), [(SIDE - side) // 2 for side in sides])
    return square""",
    "crop": """\
    if picture.size == (SIDE, SIDE):
        return picture
    scale = round(SIDE * 256 / 224) / min(picture.size)
    sides = [round(side * scale) for side in picture.size]
    starts = [(side - SIDE) // 2 for side in sides]
    box = [at * p / s for at, p, s in zip(starts, picture.size, sides)]
    box += [(at + SIDE) * p / s for at, p, s in zip(starts, picture.size, sides)]
    return picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box)""",
    "stretch": """\
    return picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)""",
}

# What is installed, imported, opened and asked, by format; two libraries would report to their makers.
PARTS = {
    "keras": (
        "keras tensorflow",
        "import keras",
        'model = keras.saving.load_model(here / "model.keras")',
        "model.predict(images, verbose=0)",
    ),
    "onnx": (
        "onnxruntime",
        'import os\nos.environ["ORT_DISABLE_TELEMETRY"] = "1"  # it would report\nimport onnxruntime',
        'session = onnxruntime.InferenceSession(here / "model.onnx")',
        'session.run(["probabilities"], {"image": images})[0]',
    ),
    "openvino": (
        "openvino",
        'sys.modules["openvino_telemetry"] = None  # it would report\nimport openvino',
        'model = openvino.compile_model(here / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})',
        'model(images)["probabilities"]',
    ),
    "litert": (
        "ai-edge-litert",
        "from ai_edge_litert.interpreter import Interpreter",
        'run = Interpreter(str(here / "model.tflite")).get_signature_runner()',
        'run(image=images)["probabilities"]',
    ),
    "saved-model": (
        "tensorflow",
        "import tensorflow as tf",
        'run = tf.saved_model.load(here / "saved_model").signatures["serving_default"]',
        'run(image=tf.constant(images))["probabilities"].numpy()',
    ),
}


def program(spec: BundleSpec, to: str, file: str) -> str:
    """The text of the program for an export in the format `to`."""
    libraries, imports, opened, asked = PARTS[to]
    return PROGRAM.format(
        file=file,
        libraries=libraries,
        imports=imports,
        opened=opened,
        asked=asked,
        mode=spec.fit,
        fit=FITS[spec.fit].replace("{padding}", str(PADDING)),
        size=spec.image_size,
        classes=len(spec.class_names),
    )


def save(spec: BundleSpec, to: str, file: str, folder: Path) -> None:
    """Writes ``example.py``."""
    write_text(folder / EXAMPLE, program(spec, to, file))
