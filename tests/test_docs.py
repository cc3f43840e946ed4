"""The documents are true: links lead somewhere; verbs, commands and options exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
VERB = re.compile(r"^(?:\$ )?make ([a-z-]+)")
COMMAND = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?headstart ([a-z]+)(.*)")


def anchors(path: Path) -> set[str]:
    """What a heading can be linked by: lower case, hyphens for spaces, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def code_of(text: str) -> list[str]:
    """The lines in code fences and the spans in backticks."""
    fences = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line for fence in fences for line in fence.splitlines()] + re.findall(r"`([^`\n]+)`", outside)


@cache
def help_of(command: str) -> str:
    line = [sys.executable, "-m", "headstart", command, "--help"]
    wide = os.environ | {"COLUMNS": "200"}  # no option is broken over two lines
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=wide)
    return done.stdout if done.returncode == 0 else ""


def broken_links(path: Path) -> list[str]:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"https?://|mailto:", link):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def unknown_verbs(text: str) -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    verbs = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    return {said[1] for code in code_of(text) for said in VERB.finditer(code)} - verbs


def unknown_commands(text: str) -> list[str]:
    """Lines with a command that has no help, or an option that its help does not name."""
    unknown = []
    for code in code_of(text):
        for command, rest in COMMAND.findall(code):
            known = help_of(command)
            options = re.findall(r"(?<!\S)--[a-z0-9-]+", rest.partition("#")[0])
            if not known or any(not re.search(rf"{option}(?![\w-])", known) for option in options):
                unknown.append(code)
    return unknown


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_true(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert broken_links(ROOT / name) == []
    assert unknown_verbs(text) == set()
    assert unknown_commands(text) == []


def test_a_false_document_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading, here\n[a](#a-heading-here) [b](#b) [c](c.md) [d](page.md)\n", encoding="utf-8"
    )
    assert broken_links(page) == ["#b", "c.md"]
    assert unknown_verbs("`make install` `make coffee`\n```sh\nmake tea\n```\n") == {"coffee", "tea"}
    text = (
        "`headstart train photos --seed 3` `headstart fly`\n```sh\nheadstart train x --image 3 # --y\n```\n"
    )
    assert unknown_commands(text) == ["headstart train x --image 3 # --y", "headstart fly"]


def test_the_guide_has_a_row_for_every_option() -> None:
    from headstart.config import RunConfig

    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    told = {
        name
        for row in re.findall(r"^\| `--.*?\|", guide, re.MULTILINE)
        for name in re.findall(r"--[a-z-]+", row)
    }
    nested = asdict(RunConfig())
    names = {"seed", *(name for section in nested.values() if isinstance(section, dict) for name in section)}
    assert told == {"--" + name.replace("_", "-") for name in names} | {"--out", "--config"}
