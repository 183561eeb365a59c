"""Images of the benchmark: samples, and sets that are downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SHARED_DATA, step_image

from denoise.benchmark.datasets import sample_images
from denoise.benchmark.protocol import sha256
from denoise.benchmark.registry import NAMED_SETS, NamedSet, download, known_name
from denoise.errors import ImageError
from denoise.files.images import write_image
from denoise.methods.table import methods_by_name


def test_sample_images_have_no_file_and_the_right_size() -> None:
    assert [one.pixels.shape for one in sample_images()] == [
        (256, 256),
        (256, 256, 3),
        (256, 256, 3),
    ]
    assert len(methods_by_name(["tv", "tv", "fast"])) == 2


def test_files_of_a_known_set_are_recognised() -> None:
    digest = NAMED_SETS["set12"].files["02.png"]
    assert known_name(digest) == "set12/02.png"
    assert known_name("0" * 64) is None
    path = SHARED_DATA / "set12" / "02.png"
    if not path.exists():
        pytest.skip("needs ../shared/data, which only some checkouts have")
    assert sha256(path.read_bytes()) == digest


def test_a_set_is_downloaded_once_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    served = tmp_path / "served"
    write_image(served / "a.png", step_image(), overwrite=False)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    good = NamedSet(base, {"a.png": sha256((served / "a.png").read_bytes())})
    monkeypatch.setitem(NAMED_SETS, "mini", good)
    try:
        (path,) = download("mini", folder=tmp_path / "cache")
        assert path.read_bytes() == (served / "a.png").read_bytes()
        monkeypatch.setitem(NAMED_SETS, "other", NamedSet(base, {"a.png": "0" * 64}))
        with pytest.raises(ImageError, match="--images other: cannot be downloaded from http"):
            download("other", folder=tmp_path / "other")
    finally:
        server.shutdown()
        server.server_close()
    assert download("mini", folder=tmp_path / "cache") == [path]  # without the server
    with pytest.raises(ImageError, match="give a folder"):
        download("mini", folder=tmp_path / "new")
