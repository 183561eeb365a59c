"""Is the uncertainty as large as the error?

Entry "is the uncertainty calibrated on photographs?" of the log.

    PYTHONPATH=docs/experiments python -m calibration SET12/02.png --seeds 2 --sigma 25
"""

from __future__ import annotations

import numpy as np
import typer

from denoise.pipeline.image import denoise_image
from trials import (
    Epochs,
    Images,
    Seeds,
    Sigma,
    noisy_samples,
    preset_options,
    print_header,
    print_row,
    with_epochs,
)


def main(images: Images, *, sigma: Sigma = 25, seeds: Seeds = "", epochs: Epochs = None) -> None:
    """Print how the errors of the refined image compare with the uncertainty of each pixel."""
    options = with_epochs(preset_options("fast", sigma), epochs)
    columns = ("std of z", "within 1", "within 2", "mean std", "RMS error", "correlation")
    print_header("image", *columns)
    for sample in noisy_samples(images, sigma, seeds):
        result = denoise_image(
            sample.noisy, sigma, options=options, with_uncertainty=True, device="cpu"
        )
        assert result.uncertainty is not None
        error = result.image - sample.clean
        z = error / result.uncertainty
        correlation = np.corrcoef(np.abs(error).ravel(), result.uncertainty.ravel())[0, 1]
        print_row(
            sample.name,
            f"{z.std():.2f}",
            *(f"{100 * np.mean(np.abs(z) < limit):.0f} %" for limit in (1, 2)),
            f"{result.uncertainty.mean():.1f}",
            f"{np.sqrt(np.mean(error**2)):.1f}",
            f"{correlation:.2f}",
        )


if __name__ == "__main__":
    typer.run(main)
