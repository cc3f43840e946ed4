"""A page as a browser reads it."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "input"}
SEPARATE = {"th", "td", "br", "small", "dt", "dd", "span", "a", "h1", "p", "figcaption", "li", "h3"}


class Page(HTMLParser):
    """A page as a browser reads it: its tags with their attributes, and the text of each section."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.sections: dict[str, str] = {"": ""}
        self.section = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.sections[self.section] += " " if tag in SEPARATE else ""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "section":
            self.section = dict(attrs)["id"]
            self.sections[self.section] = ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "section":
            self.section = ""

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.sections[self.section] += data

    def text(self, section: str = "") -> str:
        shown = self.sections[section].replace("\N{NO-BREAK SPACE}", " ")
        return " ".join(shown.replace("\u2068", "").replace("\u2069", "").split())

    def attributes(self, name: str) -> Iterator[str]:
        return (attributes[name] for _, attributes in self.tags if name in attributes)
