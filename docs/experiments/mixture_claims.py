"""What the paper on mixture latents claims, on noisy patches: entry "mixtures" of the log.

Gaujac, Feige, Barber 2018, arXiv 1806.04465: the ELBO lets the discrete latent of a mixture VAE
collapse, transport does not, and its components stand for classes of data.

    PYTHONPATH=docs/experiments python -m mixture_claims SET12/01.png --table collapse
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from torch import Tensor

from denoise.methods.image_patches import ImagePatches
from denoise.methods.vaes.gm_wae import MixtureOptions, MixtureVAE, Objective
from denoise.methods.vaes.interface import PatchVAE, PosteriorOptions, VAETraining
from denoise.methods.vaes.training import fit
from other_vaes import Patches
from patch_classes import CLASSES, classify
from trials import Images, Seeds, Sigma, noisy_samples, print_header, print_row

Table = Literal["collapse", "order", "classes"]
OBJECTIVES: tuple[Objective, ...] = ("elbo", "transport")
PATCH_SIZE = 8
# As small as the models of the paper, with an MLP for a decoder and all components kept.
POSTERIOR = PosteriorOptions(states=3, steps=2, epochs=12)
OPTIONS = MixtureOptions(
    posterior=None,
    components=10,
    kept=10,
    latents=12,
    decoder_hidden=(128,),
    training=VAETraining(epochs=12, patch_budget=16_384, batch_size=256, learning_rate=1e-2),
)
RATES = (1e-2, 4e-2)
# Patches are rebuilt every this many pixels.
STRIDE = 2


def psnr_of(data: Patches, estimate: Callable[[Tensor], Tensor]) -> str:
    """PSNR of the image whose patches are rebuilt, in dB."""
    return data.psnr(data.noisy.rebuilt(estimate, stride=STRIDE))


def use_of_components(model: PatchVAE, patches: Tensor) -> str:
    """Components used, and the mutual information of k and x under q in nats."""
    found = model.diagnostics(patches[:8192], generator=seeded())
    used, per_patch = found["components used"], found["components per patch"]
    return f"{used:.1f} ({math.log(used / per_patch):.2f})"


def seeded() -> torch.Generator:
    """The generator of the method's seed."""
    return torch.Generator().manual_seed(0)


def trained(
    data: Patches, options: MixtureOptions, on_epoch: Callable[[MixtureVAE, Tensor], None]
) -> tuple[MixtureVAE, Tensor]:
    """A model and its training patches."""
    generator = seeded()
    patches = data.noisy.drawn(options.training.patch_budget, generator)
    model = MixtureVAE(patches.shape[1], options, generator)
    continued(model, patches, on_epoch)
    return model, patches


def continued(
    model: MixtureVAE, patches: Tensor, on_epoch: Callable[[MixtureVAE, Tensor], None]
) -> None:
    """Train by the model's present objective."""
    fit(
        model,
        patches,
        model.options.training,
        generator=seeded(),
        on_epoch=lambda done: on_epoch(model, patches),
    )


def collapse(data: Patches, options: MixtureOptions) -> Iterator[list[str]]:
    """A row for each objective and rate: components used after each epoch."""
    yield ["objective, rate", *(f"epoch {n + 1}" for n in range(options.training.epochs))]
    for objective in OBJECTIVES:
        for rate in RATES:
            cells = [f"{objective}, {rate:g}"]
            training = replace(options.training, learning_rate=rate)
            trained(
                data,
                replace(options, objective=objective, training=training),
                lambda model, patches, cells=cells: cells.append(  # type: ignore[misc]
                    use_of_components(model, patches)
                ),
            )
            yield cells


def order(data: Patches, options: MixtureOptions) -> Iterator[list[str]]:
    """Transport, then the ELBO with the same network; beside it the ELBO from the start."""
    yield ["trained by", "components used", "encoder", "posterior", "posterior, prior refitted"]

    def row(name: str, model: MixtureVAE, patches: Tensor) -> list[str]:
        model.prior = None
        cells = [
            name,
            use_of_components(model, patches),
            psnr_of(data, lambda some: model.encoder_mean(some, generator=seeded())),
            psnr_of(data, lambda some: model.posterior_mean(some, POSTERIOR, generator=seeded())),
        ]
        model.learn_posterior(patches, POSTERIOR, generator=seeded(), on_epoch=lambda: None)
        cells.append(
            psnr_of(data, lambda some: model.posterior_mean(some, POSTERIOR, generator=seeded()))
        )
        model.prior = None
        return cells

    model, patches = trained(data, replace(options, objective="transport"), ignore)
    yield row("transport", model, patches)
    model.options = replace(model.options, objective="elbo")
    continued(model, patches, ignore)
    yield row("transport, then elbo", model, patches)
    model, patches = trained(data, replace(options, objective="elbo"), ignore)
    yield row("elbo", model, patches)


def ignore(model: MixtureVAE, patches: Tensor) -> None:
    """What happens after an epoch if nobody asks."""


def classes(data: Patches, options: MixtureOptions) -> Iterator[list[str]]:
    """A row for each component: the share of each class of patches, in %, that it explains best."""
    yield ["objective", "k", *CLASSES]
    clean = ImagePatches.of(data.sample.clean, PATCH_SIZE)
    index = clean.grid.every(STRIDE)
    patches = clean.grid.extract(clean.pixels, index)
    found = classify(patches.unflatten(1, (PATCH_SIZE, PATCH_SIZE, -1)))
    noisy = clean.grid.extract(data.noisy.pixels, index) @ clean.basis
    for objective in OBJECTIVES:
        model, _ = trained(data, replace(options, objective=objective), ignore)
        with torch.no_grad():
            likeliest = model.encoder(noisy).components[:, 0]
        counts = torch.zeros(options.components, len(CLASSES))
        counts.index_put_((likeliest, found), torch.ones(len(found)), accumulate=True)
        shares = 100 * counts / counts.sum(0).clamp(min=1)
        for component in counts.sum(1).argsort(descending=True).tolist():
            yield [objective, str(component), *(f"{share:.0f}" for share in shares[component])]


TABLES: dict[Table, Callable[[Patches, MixtureOptions], Iterator[list[str]]]] = {
    "collapse": collapse,
    "order": order,
    "classes": classes,
}


def main(
    images: Images,
    *,
    table: Annotated[Table, typer.Option(help="Which claim.")] = "collapse",
    sigma: Sigma = 25,
    seeds: Seeds = "",
    epochs: Annotated[int, typer.Option(help="Epochs of each training.")] = 12,
) -> None:
    """Print a Markdown table of the first image; there is one for each claim."""
    first: list[Path] = images[:1]
    data = Patches(noisy_samples(first, sigma, seeds)[0], PATCH_SIZE)
    options = replace(OPTIONS, training=replace(OPTIONS.training, epochs=epochs))
    rows = TABLES[table](data, options)
    print_header(*next(rows))
    for row in rows:
        print_row(*row)


if __name__ == "__main__":
    typer.run(main)
