"""What works on this machine, what doesn't and why, and the command that would change it.

Each check is a small function that judges facts. Libraries that could end or hang the process are tried in
processes of their own, see `engines.trial`. Nothing is downloaded and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from headstart.doctor import compute, host, material
from headstart.doctor.processes import Trial, trial
from headstart.doctor.verdict import Check, Verdict
from headstart.engines import ENGINES
from headstart.engines.trial import CHOICE
from headstart.progress import track


def examine(quick: bool = False) -> tuple[Check, ...]:
    """All checks, in less than 20 seconds on an idle machine.

    Args:
        quick: try a tiny network and time nothing, in less than half of that.
    """
    installed = [name for name in ENGINES if ENGINES[name].installed]
    asked = [*installed, *([] if quick or not installed else [CHOICE])]
    trials = {name: trial(name, quick) for name in track(asked, "Trying engines", len(asked))}
    keras = trials.get("keras", Trial(error="there is no backend"))
    rows: list[tuple[str, bool, Callable[[], Verdict]]] = [
        ("Python", True, host.python),
        ("Processor", False, host.cores),
        ("Memory", False, host.memory),
        ("Cache", True, host.cache_folder),
        ("Keras", True, partial(compute.backend, keras)),
        ("GPU", False, partial(compute.gpu, keras)),
        ("Precision", False, partial(compute.precision, keras)),
        *((f"Engine {name}", False, partial(compute.engine, name, trials.get(name))) for name in ENGINES),
        ("Engine in use", True, partial(compute.engine_in_use, trials)),
        ("VGG16 weights", False, material.vgg16_weights),
        ("ELPV images", False, material.elpv_images),
        ("HEIC", False, partial(material.library, "pi-heif", "HEIC photographs")),
        ("TensorBoard", False, partial(material.library, "tensorboard", "--tensorboard")),
    ]
    return tuple(guarded(name, needed, check) for name, needed, check in rows)


def guarded(name: str, needed: bool, check: Callable[[], Verdict]) -> Check:
    """The check's verdict; if it fails, that is a finding too."""
    try:
        return Check(name, *check(), needed=needed)
    except Exception as error:  # noqa: BLE001 - whatever is broken here
        return Check(name, "broken", f"{type(error).__name__}: {error}", needed=needed)
