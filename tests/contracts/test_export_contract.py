"""Every format: its own library gives Keras's answers, and the program beside it needs nothing of ours."""

import json
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from functools import cache

import numpy as np
import pytest
from tests import models

from headstart.engines import TOLERANCE
from headstart.engines.openvino_engine import same_signal_stack
from headstart.errors import GateError, InputError
from headstart.exports import formats, keras_formats, parity, write
from headstart.exports.formats import FORMATS
from headstart.inference.predictor import Predictor

CONTENTS = [models.picture(seed, 60 + seed, 50) for seed in range(6)]
KINDS = {
    "frozen": models.SPEC,
    "fine-tuned": models.spec(head="gap", views=8, fit="crop", blocks=4, costs=((0, 1, 9.0), (2, 0, 4.0))),
    "from scratch": models.spec(head="vgg", pixels="unit", fit="stretch"),
}
COSTS = ([[0, 1, 1], [1, 0, 1], [1, 1, 0]], [[0, 1, 4], [9, 0, 1], [1, 1, 0]])
"""What each answer costs by the true class, without and with the costs above."""

# Keras's graph is one, whatever is written of it, and its libraries take seconds to start.
CASES = [("frozen", "keras"), ("fine-tuned", "saved-model"), ("frozen", "litert"), ("fine-tuned", "litert"),
         *((kind, to) for kind in KINDS for to in ("onnx", "openvino"))]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("exports")


@cache
def model(kind, place):
    """A predictor, and Keras's answers for `CONTENTS`."""
    loaded = Predictor(models.saved(place / kind, KINDS[kind]))
    return loaded, parity.keras_probabilities(KINDS[kind], loaded.bundle.arrays(), CONTENTS)


@cache
def export(kind, to, place):
    """The folder of an export."""
    predictor, reference = model(kind, place)
    return write.export(predictor, to, place / f"{kind} {to}", CONTENTS, reference).parent


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def exported(request, place):
    """Format, folder, spec and Keras's answers."""
    kind, to = request.param
    return to, export(kind, to, place), KINDS[kind], model(kind, place)[1]


def test_its_own_library_answers_as_keras_does(exported):
    to, out, _, reference = exported
    found = json.loads((out / "parity.json").read_text())

    assert [route["route"] for route in found["routes"]] == ["Python", "command line", f"export {to}"]
    assert found["passed"] is True
    assert found["routes"][2]["max_difference"] <= TOLERANCE["f32"]
    assert found["routes"][2]["images"] == len(CONTENTS)
    assert reference.std(axis=0).min() > 1e-3  # the answers do differ from image to image


def test_the_program_beside_it_reads_pictures_by_itself(exported, tmp_path, capsys, monkeypatch):
    """From the files, by Pillow alone: the answer, its probability, and whether that is sure enough."""
    _, out, spec, reference = exported
    files = [tmp_path / f"{i}.png" for i in range(len(CONTENTS))]
    for file, content in zip(files, CONTENTS, strict=True):
        file.write_bytes(content)
    monkeypatch.setattr(sys, "argv", ["example.py", *map(str, files)])

    with same_signal_stack():  # as a program of its own it needs none after its end
        runpy.run_path(str(out / "example.py"))

    lines = [line.strip().split("  ") for line in capsys.readouterr().out.splitlines() if "%" in line]
    assert [line[2] for line in lines] == list(map(str, files))
    for (percent, label, _, *remark), row in zip(lines, reference, strict=True):
        expected = [
            sum(p * c for p, c in zip(row, column, strict=True)) for column in COSTS[bool(spec.costs)]
        ]
        answer = int(np.argmin(expected))
        assert label == spec.class_names[answer]
        assert float(percent.rstrip("%")) / 100 == pytest.approx(row[answer], abs=2e-3)
        assert remark == (["not sure enough"] if row[answer] < 0.4 else [])


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_it_reports_to_nobody(to, place, tmp_path):
    """Both libraries would, by default: ONNX Runtime keeps what it is going to send in a file at home."""
    picture, home = tmp_path / "picture.png", tmp_path / "home"
    picture.write_bytes(CONTENTS[0])
    home.mkdir()
    innocent = {"PATH": os.environ["PATH"], "HOME": str(home)}  # neither CI nor a test run
    command = [sys.executable, export("frozen", to, place) / "example.py", picture]

    done = subprocess.run(command, env=innocent, capture_output=True, text=True, check=True, timeout=120)

    assert str(picture) in done.stdout
    assert not list(home.rglob("*"))


def test_the_example_says_what_it_wants_and_what_is_no_picture(place, tmp_path):
    picture, text = tmp_path / "picture.png", tmp_path / "text.png"
    picture.write_bytes(CONTENTS[0])
    text.write_text("no picture")
    command = [sys.executable, export("frozen", "onnx", place) / "example.py"]

    alone, good, both = (
        subprocess.run([*command, *files], capture_output=True, text=True, timeout=120, check=False)
        for files in ((), (picture,), (text, picture))
    )

    assert alone.returncode == 1
    assert "python example.py PICTURE ..." in alone.stderr
    assert (good.returncode, both.returncode) == (0, 2), both.stderr  # as `headstart predict` ends
    first, second = both.stdout.splitlines()
    assert first.startswith(f"  error  {text}: ")
    assert str(picture) in second


def test_its_labels_fit_and_thresholds_lie_beside_it(exported):
    _, out, spec, _ = exported
    settings = json.loads((out / "settings.json").read_text())

    assert (out / "labels.txt").read_text(encoding="utf-8") == "cat\ndög\ngreat ape\n"
    assert settings["input"]["name"] == "image"
    assert settings["input"]["shape"] == [None, 64, 64, 3]
    assert settings["output"]["name"] == "probabilities"
    assert settings["fit"] == spec.fit
    assert settings["thresholds"] == {"confidence": 0.4, "distance": 3.0}
    assert settings["class_names"] == ["cat", "dög", "great ape"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_keras_file_has_nothing_of_ours(kind, place, tmp_path):
    """Public layers and operations only, and the input as promised."""
    keras_formats.save_keras(KINDS[kind], model(kind, place)[0].bundle.arrays(), tmp_path)
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = archive.read("config.json").decode()

    modules = {layer["module"] for layer in json.loads(config)["config"]["layers"]}
    assert modules <= {"keras.layers", "keras.src.ops.numpy", "keras.src.ops.core"}
    assert "headstart" not in config
    assert '"name": "image"' in config


def test_onnx_is_one_file_that_the_checker_likes(place):
    import onnx

    path = export("fine-tuned", "onnx", place) / "model.onnx"

    onnx.checker.check_model(str(path), full_check=True)
    whole = onnx.load_model_from_string(path.read_bytes())
    assert not [item.name for item in whole.graph.initializer if item.external_data]
    assert [item.name for item in whole.graph.input] == ["image"]
    assert [item.name for item in whole.graph.output] == ["probabilities"]
    meta = {item.key: json.loads(item.value) for item in whole.metadata_props}
    assert meta["class_names"] == ["cat", "dög", "great ape"]


def test_litert_is_of_builtin_operations_only(place):
    """TensorFlow's own would be called Flex…; none is custom."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(export("fine-tuned", "litert", place) / "model.tflite"))
    interpreter.allocate_tensors()

    names = {operation["op_name"] for operation in interpreter._get_ops_details()}
    assert {"CONV_2D", "SOFTMAX"} <= names
    assert not [name for name in names if name.startswith("Flex") or "CUSTOM" in name]


def test_openvino_says_its_labels_where_the_model_api_looks(place):
    from headstart.engines.openvino_engine import openvino

    folder = export("frozen", "openvino", place)

    read = openvino().Core().read_model(folder / "model.xml")
    assert read.get_rt_info(["model_info", "labels"]).astype(str) == "cat dög great_ape"
    assert read.input("image").get_element_type().get_type_name() == "u8"
    # whole float32, not the halves that OpenVINO writes by itself
    numbers = sum(array.size for array in model("frozen", place)[0].bundle.arrays().values())
    assert (folder / "model.bin").stat().st_size >= 4 * numbers


def test_an_export_that_answers_otherwise_is_not_kept(place, tmp_path):
    predictor, reference = model("frozen", place)

    with pytest.raises(GateError, match="answers differently from Keras"):
        write.export(predictor, "onnx", tmp_path / "out", CONTENTS, np.roll(reference, 1, axis=1))

    assert list(tmp_path.iterdir()) == []


def test_an_export_replaces_an_earlier_one_and_nothing_else(place, tmp_path):
    predictor, reference = model("frozen", place)
    shutil.copytree(export("frozen", "openvino", place), tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("hello")

    write.export(predictor, "onnx", tmp_path / "out", CONTENTS, reference)

    assert not (tmp_path / "out" / "model.xml").exists()
    again = (tmp_path / "out" / "model.onnx").read_bytes()
    assert again == (export("frozen", "onnx", place) / "model.onnx").read_bytes()
    with pytest.raises(InputError, match="would replace something that is none"):
        write.export(predictor, "onnx", tmp_path / "mine", CONTENTS, reference)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "hello"


def test_formats_and_their_libraries_are_asked_for_first(monkeypatch):
    with pytest.raises(InputError, match=r"Allowed: keras, onnx, openvino, litert, saved-model\. Rec"):
        write.known("pb")
    with pytest.raises(InputError, match=r"not written in 8-bit integers\. Allowed: --to openvino"):
        write.known("onnx", int8=True)
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"no onnx.*pip install 'headstart\[export\]'"):
        FORMATS["onnx"].require()
