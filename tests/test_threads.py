"""Work on all cores: order, errors, and torch's own setting afterwards."""

from __future__ import annotations

import threading

import pytest
import torch
from conftest import SAMPLES

from denoise.files.images import read_image
from denoise.kernels.loops import on_all_cores
from denoise.pipeline.image import denoise_image
from denoise.presets import Overrides


def test_results_come_in_order_from_single_threaded_operations() -> None:
    before = torch.get_num_threads()
    inside = list(on_all_cores(lambda n: (n, torch.get_num_threads()), range(20)))
    assert inside == [(n, 1) for n in range(20)]
    assert torch.get_num_threads() == before


def test_an_error_is_raised_and_the_number_of_threads_given_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        list(on_all_cores(lambda n: 1 // n, [1, 0, 2]))
    assert torch.get_num_threads() == before


def test_two_callers_at_once_leave_the_number_of_threads_as_it_was() -> None:
    before = torch.get_num_threads()
    both_inside = threading.Barrier(2, timeout=10)

    def use(n: int) -> None:
        def work(item: int) -> int:
            if item == 0:
                both_inside.wait()
            return item

        assert list(on_all_cores(work, range(3 + n))) == list(range(3 + n))

    callers = [threading.Thread(target=use, args=(n,)) for n in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert torch.get_num_threads() == before


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    noisy = read_image(SAMPLES / "camera_sigma25.png").pixels[64:160, 64:160]
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            overrides = Overrides(epochs=2)
            result = denoise_image(
                noisy, 25, preset="fast", overrides=overrides, with_uncertainty=True, device="cpu"
            )
            results.append((result.image.tobytes(), result.uncertainty.tobytes()))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1] == results[2]
