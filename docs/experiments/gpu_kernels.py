"""What the compiler makes of the Triton kernels, for a GPU that need not be there.

`PYTHONPATH=docs/experiments python -m gpu_kernels` prints a Markdown table: registers and bytes of
stack of a thread, and shared memory, for what the presets launch. Launches are recorded, not
made.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from denoise.kernels import amplitude
from denoise.kernels.choice import use
from denoise.kernels.group_filters import filter_groups
from denoise.kernels.launching import launches_handed_to
from denoise.kernels.matching import match_patches
from denoise.options import DenoiseOptions
from denoise.patches import Patches, PatchGrid, PatchMerger
from denoise.presets import preset
from denoise.vae.gradient import gradient
from denoise.vae.learned import untrained
from denoise.vae.mlp_vae import MLPVAE
from denoise.vae.search import improve
from denoise.vae.stored_states import SparseStates, no_latents_on

# Compute capability of the H100 and H200, and of smaller and older GPUs: 86, 80, 75.
CAPABILITY = 90
_TYPES = {
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int64: "*i64",
    torch.int16: "*i16",
    torch.uint8: "*u8",
}


@dataclass(frozen=True)
class Launch:
    """A kernel and what it would be launched with.

    Attributes
    ----------
    purpose : whose launch it is
    kernel : a Triton function
    arguments : of the function, by name
    options : of the launch
    """

    purpose: str
    kernel: Any
    arguments: dict[str, Any]
    options: dict[str, Any]


@dataclass(frozen=True)
class Compiled:
    """Registers and bytes of stack of a thread, and bytes of shared memory of a program."""

    registers: int
    stack: int
    shared: int


@contextmanager
def recorded(purpose: str, launches: list[Launch]) -> Iterator[None]:
    """Choose the Triton kernels, and record their launches instead of making them."""

    def record(kernel: Any, grid: tuple[int, ...], given: dict[str, Any]) -> None:
        names = kernel.arg_names
        arguments = {name: given[name] for name in names}
        options = {name: value for name, value in given.items() if name not in names}
        launches.append(Launch(purpose, kernel, arguments, options))

    with use("triton"), launches_handed_to(record):
        yield


def launches_of_presets() -> list[Launch]:
    """One launch of each kind that a preset makes, on one patch or group."""
    launches: list[Launch] = []
    for latents in (256, 512):
        with recorded(f"{latents} latents", launches):
            _launch_search(latents)
        for amplitudes_only in (False, True):
            purpose = "means" if amplitudes_only else "sums"
            with recorded(f"{latents} latents, {purpose}", launches):
                _launch_sums(latents, amplitudes_only=amplitudes_only)
    for purpose, options in {
        "published, sigma 25": preset("paper", "weak"),
        "published, sigma 50": preset("paper", "strong"),
        "decoder mlp": preset("balanced", decoder="mlp"),
    }.items():
        with recorded(purpose, launches):
            _launch_mlp(options)
    for name in ("balanced", "best"):
        with recorded(name, launches):
            _launch_refinement(preset(name))
    return launches


def _launch_search(latents: int) -> None:
    problem, sets = _problem(latents)
    amplitude.explore(problem, sets.active, sets.log_joints, amplitude.Extent(2, 6, 5.0))


def _launch_sums(latents: int, *, amplitudes_only: bool) -> None:
    problem, sets = _problem(latents)
    amplitude.posterior_sums(problem, sets.active, sets.log_joints, amplitudes_only=amplitudes_only)


def _problem(latents: int) -> tuple[amplitude.Problem, SparseStates]:
    projections, gram = torch.zeros(1, latents), torch.eye(latents)
    vectors = torch.zeros(latents, 1)
    problem = amplitude.Problem(projections, gram, torch.zeros(latents), None, vectors, True)
    return problem, no_latents_on(16, latents, 8, projections)


def _launch_mlp(options: DenoiseOptions) -> None:
    size = options.model.patch_sizes[0]
    patches = Patches.from_raw(torch.zeros(1, size**2), torch.arange(1))
    model, _, states = untrained(options, patches, 1.0, torch.Generator(), seed=0)
    assert isinstance(model, MLPVAE)
    found = improve(model, patches, states, options.search, key=(0,))
    gradient(model, patches, found)


def _launch_refinement(options: DenoiseOptions) -> None:
    assert options.refinement is not None
    window, size = options.refinement.window, max(options.refinement.patch_sizes)
    members = options.refinement.group_size
    image, group = torch.zeros(100, 100), torch.zeros(1, members, size**2)
    match_patches(image, size, group_size=members, window=window, stride=100)
    filter_groups(group, group, torch.ones(1))
    merger = PatchMerger(PatchGrid.of(image[..., None], size), like=torch.ones(1))
    merger.add(group[:, 0], torch.zeros(1, dtype=torch.int64), torch.ones(1))


def compile_launch(launch: Launch, capability: int) -> Compiled:
    """Compile as a launch would; needs Triton, and its interpreter switched off."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, constants, divisible = _specialised(launch)
    source = ASTSource(fn=launch.kernel, signature=signature, constexprs=constants, attrs=divisible)
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options=launch.options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
        command = [str(tool), "--dump-resource-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack = (int(number) for number in re.findall(r"(?:REG|STACK):(\d+)", usage))
    return Compiled(registers, stack, compiled.metadata.shared)


def _specialised(
    launch: Launch,
) -> tuple[dict[str, str], dict[str, Any], dict[tuple[int], list[list[Any]]]]:
    """Types, constants, and arguments that 16 divides: Triton compiles for each of these."""
    signature, constants, divisible = {}, {}, {}
    for place, (name, value) in enumerate(launch.arguments.items()):
        fixed = launch.kernel.params[place].do_not_specialize
        if name.isupper() or (isinstance(value, int) and value == 1 and not fixed):
            signature[name], constants[name] = "constexpr", value
        elif isinstance(value, float):
            signature[name] = "fp32"
        else:
            tensor = isinstance(value, torch.Tensor)
            signature[name] = _TYPES[value.dtype] if tensor else "i32"
            if tensor or (value % 16 == 0 and not fixed):
                divisible[(place,)] = [["tt.divisibility", 16]]
    return signature, constants, divisible


def main(
    *,
    capability: Annotated[int, typer.Option(help="90 is an H100 or H200.")] = CAPABILITY,
    first: Annotated[
        bool, typer.Option("--first", help="Only the first launch of each kernel.")
    ] = False,
) -> None:
    """Print the table."""
    typer.echo("| kernel | for | warps | registers | bytes of stack | shared bytes |")
    typer.echo("|---" * 6 + "|")
    printed = set()
    launches = launches_of_presets()
    if first:
        launches = list({one.kernel: one for one in reversed(launches)}.values())
    for launch in launches:
        one = compile_launch(launch, capability)
        name, warps = launch.kernel.fn.__name__, launch.options["num_warps"]
        cells = (name, launch.purpose, warps, one.registers, one.stack, one.shared)
        if cells not in printed:
            typer.echo("| " + " | ".join(str(cell) for cell in cells) + " |")
        printed.add(cells)


if __name__ == "__main__":
    typer.run(main)
