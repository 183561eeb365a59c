"""HTML that holds everything it needs: text is escaped, styles and scripts are inside."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from denoise import __version__
from denoise.pictures.viewer import asset

EMPTY_ELEMENTS = ("img", "br")
# A page's data are one line of its head.
DATA_START, DATA_END = '<script type="application/json" id="data">', "</script>"
PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="denoise $version">
<title>$title</title>
$data
<style>$style</style>
</head>
<body>
$body
<script type="module">$script</script>
</body>
</html>
""")


class Markup(str):
    """Text that is HTML already; any other text is escaped."""

    __slots__ = ()


def joined(*content: str) -> Markup:
    """Texts and elements, one after the other."""
    return Markup("".join(one if isinstance(one, Markup) else html.escape(one) for one in content))


def tag(name: str, *content: str, **attributes: str) -> Markup:
    """An element; a keyword of Python is an attribute with _ after it, - is written _.

    >>> tag("a", "1 < 2", href="b.html", class_="plain")
    '<a href="b.html" class="plain">1 &lt; 2</a>'
    """
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
    )
    end = "" if name in EMPTY_ELEMENTS else f"</{name}>"
    return Markup(f"<{name}{pairs}>{joined(*content)}{end}")


def table(rows: Iterable[Iterable[str]], head: Iterable[str] = (), **attributes: str) -> Markup:
    """Rows of cells, the first of each being its title."""
    titles = [tag("th", one, scope="col") for one in head]
    body = []
    for first, *others in rows:
        body.append(tag("tr", tag("th", first, scope="row"), *(tag("td", one) for one in others)))
    above = [tag("thead", tag("tr", *titles))] if titles else []
    return tag("table", *above, tag("tbody", *body), **attributes)


def picture(png: bytes, alt: str, **attributes: str) -> Markup:
    """An image that is part of the page."""
    return tag("img", src=data_uri(png), alt=alt, **attributes)


def data_uri(png: bytes) -> str:
    """A PNG file as the address of an image."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def document(title: str, body: Markup, data: dict[str, Any] | None = None) -> bytes:
    """A page, which a browser lets load nothing, and run nothing but what is in it.

    Parameters
    ----------
    data : of one image, for programs and `read_data`; its page has the viewer
    """
    style = asset("viewer.css") + _file("page.css")
    code = "" if data is None else asset("viewer.js") + _file("page.js")
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:;"
        f" style-src {_hash(style)}; script-src {_hash(code)}"
    )
    # Without "<", they cannot end their element.
    encoded = json.dumps(data).replace("<", "\\u003c")
    page = PAGE.substitute(
        policy=policy,
        version=__version__,
        title=html.escape(title),
        data=DATA_START + encoded + DATA_END,
        style=style,
        body=body,
        script=code,
    )
    return page.encode("utf-8", "backslashreplace")  # names may hold bytes that are no text


def read_data(path: Path) -> dict[str, Any] | None:
    """The data of a page that `document` made, or None of any other file."""
    start, end = DATA_START.encode(), DATA_END.encode()
    with path.open("rb") as file:
        for line in file:
            if line.startswith(start):
                with suppress(ValueError):  # it breaks off
                    data = json.loads(line.strip()[len(start) : -len(end)])
                    return data if isinstance(data, dict) else None
    return None


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
