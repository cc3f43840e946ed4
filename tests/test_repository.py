"""The files around the code: no addresses in them, the audit says only what it knows, the lock is whole."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
# Written so that the pattern does not find itself.
ADDRESS = re.compile(
    r"pypi\.org|python[h]osted|npm[j]s\.|deb\.debian|file:/{3}|--(?:extra-)?index[-]url|--find[-]links"
    r"|(?<![\w.~/-])/(?:work|root|home|opt)/\w+"
)


def tracked() -> list[Path]:
    """Files of the repository, with those not yet added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_package_index_or_a_place_on_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {hit[0]}"
        for path in tracked()
        for hit in ADDRESS.finditer(path.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert found == []


@pytest.mark.parametrize("folder", ["work", "home", "root"])
def test_the_search_finds_addresses(folder: str) -> None:
    assert ADDRESS.search(f"see /{folder}/somebody")
    assert ADDRESS.search("https://" + "pypi" + ".org/simple")
    assert not ADDRESS.search("docs/work/plan.md and --no-emit-index-url")


def locked() -> dict[str, str]:
    """Package → its block of constraints.txt."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    blocks = re.findall(r"^([a-z0-9-]+)==(?:.*\\\n)+.*\n", text, re.MULTILINE)
    return dict(zip(blocks, re.split(r"^[a-z0-9-]+==", text, flags=re.MULTILINE)[1:], strict=True))


def test_the_lock_pins_and_hashes_all_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    locked_extras = [name for name in extras if name != "gpu"]
    asked = [*project["dependencies"], *(one for name in locked_extras for one in extras[name])]
    blocks = locked()
    assert {re.split(r"[^a-z0-9-]", requirement)[0] for requirement in asked} - blocks.keys() == set()
    assert [name for name, block in blocks.items() if "--hash=sha256:" not in block] == []
    assert {"tensorflow", *(name for name in blocks if name.startswith("nvidia"))} & blocks.keys() == set()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"$(addprefix --extra ,{' '.join(sorted(locked_extras))})" in makefile


@pytest.fixture(scope="module")
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "tools" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLEAN = {"name": "keras", "version": "3.15.1", "vulns": []}
SKIPPED = {"name": "rich", "skip_reason": "not found"}
FINDING = {"id": "CVE-1", "fix_versions": ["12.3"], "aliases": [], "description": ""}
FOUND = {"name": "pillow", "version": "12.0", "vulns": [FINDING]}


@pytest.mark.parametrize(
    ("packages", "code", "message"),
    [
        ([CLEAN], 0, "pip-audit: no known vulnerability in 1 packages"),
        ([CLEAN, FOUND], 1, "pillow 12.0: CVE-1, fixed in 12.3"),
        ([SKIPPED, FOUND], 1, "pillow 12.0: CVE-1, fixed in 12.3\npip-audit: not known to the service: rich"),
        ([SKIPPED], 0, "pip-audit: not run, service not reachable (it knows none of the 1 packages)"),
    ],
)
def test_the_audit_reports_what_it_was_told(
    audit: Any, packages: list[object], code: int, message: str
) -> None:
    assert audit.judge(json.dumps({"dependencies": packages}), "") == (code, message)


def test_the_audit_tells_no_network_from_a_fault_of_its_own(audit: Any) -> None:
    assert audit.judge("", "ERROR: Could not connect to the feed")[0] == 0
    assert audit.judge("", "error: no such option") == (1, "error: no such option")
