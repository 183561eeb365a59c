"""What a browser finds in a page."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

EMPTY = {"meta", "img", "br", "input", "link"}


class Page(HTMLParser):
    """What a browser finds in a page; it has to be well-formed."""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.view = ""
        self.pictures: dict[str, Image.Image] = {}
        self._open: list[str] = []
        self.source = Path(path).read_text("utf-8")
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self.view = attributes.get("data-view") or self.view
        if tag == "img":
            data = str(attributes["src"]).removeprefix("data:image/png;base64,")
            picture = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
            self.pictures.setdefault(self.view, picture)
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if self._open and self._open[-1] not in ("style", "script") else ""

    def links(self) -> list[str]:
        return [str(attributes["href"]) for tag, attributes in self.elements if tag == "a"]
