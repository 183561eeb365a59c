"""The pictures of a page: in the viewer, and side by side for paper."""

from __future__ import annotations

from denoise.cli.pages.markup import Markup, picture, tag
from denoise.cli.pages.views import COMPRESSION, Views

HINT = (
    "Space flickers, the wheel zooms, a double click is 100 %, 0 fits, keys 1 to 7 choose a view."
)


def live_views() -> Markup:
    """What the script fills."""
    bar = tag(
        "div",
        tag("div", id="modes", role="group", aria_label="View"),
        tag("div", id="sets", role="group", aria_label="Part"),
        class_="bar",
    )
    caption = tag("p", id="caption", aria_live="polite")
    under = tag("div", caption, tag("p", HINT, class_="faint"), class_="under")
    return tag("section", bar, tag("div", id="viewer"), under, id="live", aria_label="Pictures")


def still_views(views: Views) -> Markup:
    """The same pictures for the script, for those who run none, and for paper."""
    width, height = views.size
    figures = (
        tag(
            "figure",
            picture(view.png(COMPRESSION), name, width=f"{width}", height=f"{height}"),
            tag("figcaption", view.caption),
            data_view=name,
        )
        for name, view in views.views.items()
    )
    title = (tag("h2", views.title),) if views.title else ()
    sizes = {"data_title": views.title, "data_width": f"{width}", "data_height": f"{height}"}
    return tag("section", *title, *figures, class_="views", **sizes)
