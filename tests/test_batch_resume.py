"""A run is resumed: whole results stay, damaged ones are replaced, other files never are."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import contents, run_cli
from image_samples import tiff_bytes
from PIL import Image
from test_batch import SIGMA

from denoise.cli.jobs import FileJob
from denoise.cli.one_file import denoise_file
from denoise.cli.report import FileReport
from denoise.cli.settings import Settings
from denoise.errors import OutputError
from denoise.files.images import read_image, write_image
from denoise.files.outputs import check_output

pytestmark = pytest.mark.usefixtures("batch_folder")


def test_skip_existing_leaves_whole_results_alone_and_replaces_damaged_ones() -> None:
    write_image(Path("out/a.png"), np.zeros((24, 24)), overwrite=False)
    Path("out/b.png").write_bytes(b"")  # as a full disk leaves it
    Path("out/sub").mkdir()
    Path("out/sub/c.png").write_bytes(Path("out/a.png").read_bytes()[:50])  # truncated
    kept = Path("out/a.png").read_bytes()
    code, stdout, _ = run_cli("in", "-o", "out", "-r", "--skip-existing", *SIGMA)
    assert code == 0
    assert stdout.splitlines()[0] == "in/a.png: skipped, out/a.png is there"
    assert stdout.splitlines()[-1] == "2 done, 1 skipped, 0 failed"
    assert Path("out/a.png").read_bytes() == kept
    for name in ("b.png", "sub/c.png"):
        assert read_image(Path("out") / name).pixels.std() > 1


def other_files() -> dict[str, bytes]:
    """Files of the user's at the place of the result of a 24×24 gray image."""
    gray = np.arange(576, dtype=np.uint8).reshape(24, 24)

    def saved(image: Image.Image, kind: str, **options: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    def tiff(array: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, photometric="minisblack")
        return buffer.getvalue()

    small = Image.fromarray(gray[:9])
    return {
        "another size": saved(small, "PNG"),
        "another size, cut short": saved(small, "PNG")[:-30],
        "colour": saved(Image.fromarray(gray).convert("RGB"), "PNG"),
        "animation": saved(small, "GIF"),
        "stack": tiff(np.stack([gray] * 3)),
        "stack, cut short": tiff(np.stack([gray] * 3))[:-600],
        "32 bits": tiff(gray.astype(np.uint32)),
        "CMYK": saved(Image.fromarray(np.stack([gray] * 4, -1), "CMYK"), "JPEG"),
        "text": b"important",
        "zeros": bytes(600),
    }


@pytest.mark.filterwarnings("ignore:.*mode.*:DeprecationWarning")
@pytest.mark.parametrize("kind", list(other_files()))
def test_files_that_are_no_results_are_never_replaced_by_skip_existing(kind: str) -> None:
    Path("out").mkdir()
    Path("out/a.png").write_bytes(other_files()[kind])
    before = contents(Path("out"))
    code, stdout, stderr = run_cli("in", "-o", "out", "--skip-existing", *SIGMA)
    assert code == 1
    assert stdout.splitlines()[-2:][0].startswith("1 done, 0 skipped, 1 failed")
    assert "error: out/a.png: exists already and " in stderr
    assert before.items() <= contents(Path("out")).items()


def test_other_files_that_are_there_are_never_replaced_by_skip_existing() -> None:
    for name in ("f.png", "c.csv", "m.npz"):
        Path(name).write_bytes(Path("clean/a.png").read_bytes())
    before = contents(Path())
    extras = ("--figure", "f.png", "--curve", "c.csv", "--save-model", "m.npz")
    code, _, _ = run_cli("in/a.png", "-o", "a.png", "--skip-existing", *SIGMA, *extras)
    assert (code, Path("a.png").exists()) == (0, True)
    assert before.items() <= contents(Path()).items()
    assert "skipped" in run_cli("in/a.png", "-o", "a.png", "--skip-existing", *SIGMA, *extras)[1]


def test_nothing_but_an_image_is_replaced_by_skip_existing() -> None:
    Path("notes.png").write_text("important")
    code, _, stderr = run_cli("in/a.png", "-o", "notes.png", "--skip-existing", *SIGMA)
    assert code == 1
    assert stderr.startswith("error: notes.png: exists already and is no result of this image: ")
    assert stderr.rstrip().endswith("use --overwrite or another name")
    assert Path("notes.png").read_text() == "important"
    code, _, stderr = run_cli("in/a.png", "-o", "in/a.png", "--skip-existing", *SIGMA)
    assert code == 1
    assert "error: in/a.png: is the input; --skip-existing needs another output" in stderr


def test_an_image_whose_other_files_are_missing_is_not_skipped() -> None:
    assert run_cli("in/a.png", *SIGMA, "-q") == (0, "", "")
    again = ("in/a.png", *SIGMA, "--skip-existing", "--figure", "f.png")
    assert "1 done" not in run_cli(*again)[1]
    assert Path("f.png").exists()
    assert "skipped" in run_cli(*again)[1]


def test_other_files_are_written_before_the_image_which_says_that_all_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OutputError(f"{path}: cannot be written: No space left on device")

    monkeypatch.setattr("denoise.cli.extras.write_atomically", full)
    code, _, stderr = run_cli("in/a.png", *SIGMA, "--curve", "c.csv")
    assert (code, "error: c.csv: cannot be written" in stderr) == (1, True)
    assert not Path("in/a_denoised.png").exists()


def test_one_frame_does_not_replace_a_file_of_many() -> None:
    Path("stack.tif").write_bytes(
        tiff_bytes(np.zeros((3, 32, 32), np.uint8), photometric="minisblack")
    )
    before = contents(Path())
    code, _, stderr = run_cli("stack.tif", "--frame", "2", "-o", "stack.tif", "--overwrite")
    assert code == 1
    assert "error: stack.tif: one frame would replace all; write another file" in stderr
    assert contents(Path()) == before
    again = ("stack.tif", "--frame", "2", "-o", "o.tif", "--reference", "stack.tif", *SIGMA)
    assert run_cli(*again)[0] == 0  # frame 2 of the reference, too


def test_files_are_checked_once_and_those_that_appear_meanwhile_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[str] = []

    def check(path: Path, suffixes: tuple[str, ...], *, overwrite: bool) -> None:
        checked.append(str(path))
        check_output(path, suffixes, overwrite=overwrite)

    def appear(job: FileJob, settings: Settings, **more: object) -> FileReport:
        Path("f.png" if "f.png" not in contents(Path()) else "out.png").write_text("mine")
        return denoise_file(job, settings, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("denoise.cli.jobs.check_output", check)
    arguments = ("in/a.png", "-o", "out.png", *SIGMA)
    extras = ("--curve", "c.csv", "--save-model", "m.npz", "--figure", "f.png")
    monkeypatch.setattr("denoise.cli.batch.denoise_file", appear)
    for written, name, options in [([], "f.png", extras), (["c.csv"], "out.png", extras[:2])]:
        before = contents(Path())
        checked.clear()
        code, _, stderr = run_cli(*arguments, *options)
        assert code == 1
        assert f"error: {name}: exists already; use --overwrite to replace it" in stderr
        assert sorted(checked) == sorted(["out.png", *options[1::2]])
        after = contents(Path())
        assert after.pop(name) == b"mine"
        assert set(after) - set(before) == set(written)
