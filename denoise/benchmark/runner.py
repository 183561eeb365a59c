"""Run every method on every noisy image; finished cells are kept and never run again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from denoise.benchmark.datasets import CleanImage
from denoise.benchmark.memory import watch_memory
from denoise.benchmark.protocol import Damage, Protocol
from denoise.errors import DenoiseError, OptionError
from denoise.files.images import write_image
from denoise.files.outputs import write_atomically
from denoise.files.samples import PEAK
from denoise.methods.table import Method
from denoise.metrics import psnr, ssim
from denoise.pipeline.results import DenoiseResult
from denoise.pipeline.run import Run


@dataclass(frozen=True)
class Cell:
    """One method on one noisy image.

    Attributes
    ----------
    image, method, kind, sigma, repeat, missing : what was run
    sha256 : of the image
    psnr, ssim : of the result; None if it failed, or the image is too small for SSIM
    seconds : of the method alone
    memory : largest resident size of the process meanwhile, in GB; None if unknown
    details : what the method reports of itself
    error : why it failed
    """

    image: str
    method: str
    kind: str
    sigma: float
    repeat: int
    psnr: float | None = None
    ssim: float | None = None
    seconds: float | None = None
    memory: float | None = None
    details: dict[str, float] | None = None
    error: str | None = None
    sha256: str | None = None
    missing: float = 0.0

    @property
    def damage(self) -> Damage:
        """What was done to the image."""
        return Damage(self.sigma, self.missing)

    @property
    def key(self) -> tuple[str, str, Damage, int]:
        """What distinguishes it from the others of a benchmark."""
        return (self.image, self.method, self.damage, self.repeat)


@dataclass(frozen=True)
class Benchmark:
    """What to run.

    Attributes
    ----------
    images, methods, damages : every combination is a cell
    repeats : how often each image is damaged, differently each time
    seed, device : of the methods
    keep_images : folder for what the methods make, or None
    """

    images: Sequence[CleanImage]
    methods: Sequence[Method]
    damages: Sequence[Damage]
    protocol: Protocol
    repeats: int = 1
    seed: int = 0
    device: str = "auto"
    keep_images: Path | None = None

    def __len__(self) -> int:
        return len(self.images) * len(self.methods) * len(self.damages) * self.repeats

    def cells(self, finished: Sequence[Cell] = ()) -> Iterator[Cell]:
        """Run all cells that have not `finished`, method by method; yields every one."""
        known = {cell.key: cell for cell in finished if cell.error is None}
        places = product(self.damages, self.methods, range(self.repeats), enumerate(self.images, 1))
        for damage, method, repeat, (number, image) in places:
            cell = Cell(
                *(image.name, method.name, method.kind, damage.sigma, repeat),
                sha256=image.sha256,
                missing=damage.missing,
            )
            earlier = known.get(cell.key)
            yield earlier if earlier is not None else self._run(cell, image, method, number)

    def _run(self, cell: Cell, image: CleanImage, method: Method, number: int) -> Cell:
        noisy = self.protocol.damaged(image.pixels, cell.damage, number=number, repeat=cell.repeat)
        run = Run(data_range=PEAK, seed=self.seed, device=self.device)
        started = time.perf_counter()
        try:
            with watch_memory() as peak:
                result = method.denoise(noisy, cell.sigma, run)
        except DenoiseError as error:  # a package that is not installed
            return replace(cell, error=" ".join(str(error).split()))
        seconds = time.perf_counter() - started
        if self.keep_images is not None:
            write_image(self.keep_images / kept_name(cell), result.image, overwrite=True)
        return replace(
            cell,
            psnr=psnr(image.pixels, result.image),
            ssim=ssim(image.pixels, result.image),
            seconds=seconds,
            memory=peak.gigabytes,
            details=_details(result),
        )


def _details(result: DenoiseResult) -> dict[str, float]:
    sigma = result.learned_sigma
    return {**({} if sigma is None else {"learned_sigma": sigma}), **result.diagnostics}


def kept_name(cell: Cell) -> str:
    """File name of what a cell made."""
    image = re.sub(r"[^\w.-]+", "_", str(Path(cell.image).with_suffix("")))
    missing = f"_missing{100 * cell.missing:g}" if cell.missing else ""
    return f"{image}_sigma{cell.sigma:g}{missing}_{cell.repeat}_{cell.method}.png"


def save_cells(
    path: Path, header: dict[str, Any], description: Sequence[str], cells: Sequence[Cell]
) -> None:
    """Write all that was measured as JSON.

    Parameters
    ----------
    header : conditions that must be the same where the file is resumed
    description : of all conditions, for people
    """
    measured = {"description": list(description), "cells": [asdict(cell) for cell in cells]}
    text = json.dumps(header | measured, indent=1)
    write_atomically(path, text.encode())


def load_cells(path: Path, header: dict[str, Any]) -> list[Cell]:
    """The cells of a file of `save_cells`, none if it is not there.

    Raises
    ------
    OptionError
        If the file is damaged, or was made under other conditions.
    """
    if not path.exists():
        return []
    try:
        saved = json.loads(path.read_text())
        cells = [Cell(**cell) for cell in saved.pop("cells")]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise OptionError(f"{path}: holds no benchmark that can be resumed: {error}") from None
    for name, value in header.items():
        if saved.get(name) != value:
            now, then = (
                text if len(text) < 200 else "others"
                for text in (repr(value), repr(saved.get(name)))
            )
            raise OptionError(
                f"{path}: was made with {name} {then}, not {now}; leave out --resume or give"
                " another file"
            )
    return cells
