"""What the code may import and load, and what it must document, by the syntax trees of all of it."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"
FILES = sorted((SRC / "headstart").rglob("*.py"))

# A package imports only from those before it. `headstart` is __init__.py, the Python API.
ORDER = (
    "errors rundir cache machine resume progress config data backbones engines provenance doctor"
    " training inference evaluation report exports serving experiments distributed datacheck stages"
    " pipeline estimator headstart cli __main__"
).split()

ONLY_IN = {
    "tensorflow": {"engines", "exports"},
    "openvino": {"engines", "exports"},
    "ncnn": {"engines", "exports"},
    "onnxruntime": {"engines", "exports"},
    "nncf": {"exports"},
    "jax": {"engines", "exports"},
    "torch": {"engines", "exports"},
    "keras": {"backbones", "engines", "training", "exports"},
    "flask": {"serving"},
    "sqlalchemy": {"serving"},
    "ray": {"distributed"},
}

UNSAFE_MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}
UNSAFE_CALLS = {
    "eval", "exec", "compile", "__import__",
    "numpy.load", "joblib.load", "torch.load", "torch.hub.load", "tensorflow.saved_model.load",
    "pandas.read_pickle", "pandas.read_hdf", "shutil.unpack_archive",
}  # fmt: skip
UNSAFE_NAMES = {"load_model", "model_from_json", "deserialize_keras_object", "extractall", "read_pickle"}

# ncnn's reads arrays only, and from a file that the line before has written.
SAFE_NAMESAKES = {"headstart.engines.ncnn_engine": ["self.net.load_model"]}


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def unit(module: str) -> str:
    """The part of the package that has a place in ORDER."""
    return module.split(".")[1] if "." in module else module


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of everything imported, in functions too; `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what is imported"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_module(name: str) -> str:
    """The module of ours that holds `name`, which may be a function or a class in it."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def own_imports(tree: ast.AST) -> set[str]:
    return {own_module(name) for name in imported(tree) if name.partition(".")[0] == "headstart"}


def wrong_direction(importer: str, tree: ast.AST) -> list[str]:
    place = ORDER.index(unit(importer))
    return [name for name in own_imports(tree) if ORDER.index(unit(name)) > place]


def misplaced(importer: str, tree: ast.AST) -> list[str]:
    tops = {name.partition(".")[0] for name in imported(tree)}
    return sorted(top for top in tops & ONLY_IN.keys() if unit(importer) not in ONLY_IN[top])


def unsafe(tree: ast.AST) -> list[str]:
    """Everything in the code that could run code from a file, or write where the file says."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom):
            aliases |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    found = [
        name for name in imported(tree) if name.partition(".")[0] in UNSAFE_MODULES or name in UNSAFE_CALLS
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            first, dot, rest = ast.unparse(node).partition(".")
            name = aliases.get(first, first) + dot + rest
            if name in UNSAFE_CALLS or name.rpartition(".")[2] in UNSAFE_NAMES:
                found.append(name)
        elif isinstance(node, ast.keyword) and node.arg in {"allow_pickle", "trust_remote_code"}:
            found.append(node.arg)
    return found


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way_only(module: str) -> None:
    assert unit(module) in ORDER, f"give {unit(module)} its place in ORDER"
    assert wrong_direction(module, parse(MODULES[module])) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: own_imports(parse(path)) - {module} for module, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_stay_in_their_packages(module: str) -> None:
    assert misplaced(module, parse(MODULES[module])) == []


@pytest.mark.parametrize("module", MODULES)
def test_nothing_can_run_code_from_a_file(module: str) -> None:
    assert unsafe(parse(MODULES[module])) == SAFE_NAMESAKES.get(module, [])


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("import pickle", "pickle"),
        ("def f():\n    from pickle import loads", "pickle.loads"),
        ("import numpy as np\nnp.load('x.npy')", "numpy.load"),
        ("from numpy import load as quietly", "numpy.load"),
        ("import joblib\nf = joblib.load", "joblib.load"),
        ("read(path, allow_pickle=False)", "allow_pickle"),
        ("import keras\nkeras.saving.load_model(p)", "keras.saving.load_model"),
        ("import yaml", "yaml"),
        ("import torch\ntorch.load(p)", "torch.load"),
        ("eval(text)", "eval"),
        ("tarfile.open(p).extractall()", "tarfile.open(p).extractall"),
    ],
)
def test_the_search_finds_unsafe_code(code: str, named: str) -> None:
    assert named in unsafe(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "import re\nre.compile('a')",
        "import json\njson.load(f)",
        "model.eval_shape()",
        "from headstart.data.manifest import load",
    ],
)
def test_the_search_leaves_safe_code_alone(code: str) -> None:
    assert unsafe(ast.parse(code)) == []


def test_the_search_finds_imports_in_functions() -> None:
    tree = ast.parse("def f():\n    from headstart.config import RunConfig\n    import keras.layers")
    assert wrong_direction("headstart.errors", tree) == ["headstart.config"]
    assert wrong_direction("headstart.data.images", tree) == []
    assert misplaced("headstart.data.images", tree) == ["keras"]
    assert misplaced("headstart.engines.keras_engine", tree) == []


def test_the_command_line_starts_without_heavy_libraries() -> None:
    heavy = (
        "tensorflow keras jax torch openvino ncnn onnx onnxruntime sklearn scipy pandas pyarrow cv2"
        " matplotlib seaborn"
    ).split()
    code = f"import sys, headstart.cli as c; c.main; print(*sorted(set(sys.modules) & set({heavy})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def documented(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """(name, has a docstring) of the public functions, classes and methods of a module or class."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and not child.name.startswith("_"):
            yield child.name, ast.get_docstring(child) is not None
            if isinstance(child, ast.ClassDef):
                yield from documented(child)


def is_protocol(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).partition("[")[0] == "Protocol" for base in node.bases)


def test_public_things_have_docstrings() -> None:
    """Those of an interface are said once: a method has its docstring in the class or in a Protocol."""
    trees = {module: parse(path) for module, path in MODULES.items()}
    said_once = {
        name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and is_protocol(node)
        for name, has in documented(node)
        if has
    }
    missing = [
        f"{module}: {name}"
        for module, tree in trees.items()
        for name, has in documented(tree)
        if not has and name not in said_once
    ]
    assert missing == []
