"""What the compiler makes of the Triton kernels, for a GPU that need not be there.

`python -m denoise.benchmarks.gpu_kernels` prints a Markdown table: registers and spilled bytes of
a thread, and shared memory, at the sizes of the presets.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from denoise.gpu import evolution as evolution_host
from denoise.gpu import perceptron
from denoise.gpu import refinement as gpu_refinement
from denoise.gpu.launching import WARPS

# Compute capability of the H100 and H200, and of smaller and older GPUs: 86, 80, 75.
CAPABILITY = 90
_SINGLES = (
    *("projections", "gram", "log_odds", "log_joints", "posterior", "scores", "new_scores"),
    *("values", "rows", "first", "weights", "last", "constant", "precision", "flip_cost"),
    *("bits", "back", "blame", "squared", "pilot", "patches", "noise", "estimates"),
)
_INTEGERS = (
    "keys",
    "latent_sums",
    "products",
    "amplitudes",
    "codes",
    "new_codes",
    "index",
    "numbers",
)
_TYPES: dict[str, str] = {
    **dict.fromkeys(_SINGLES, "*fp32"),
    **dict.fromkeys(_INTEGERS, "*i64"),
    **dict.fromkeys(("pool", "new_pool"), "*u8"),
    **dict.fromkeys(("leak", "reach"), "fp32"),
}


@dataclass(frozen=True)
class Compiled:
    """A kernel at one size.

    Attributes
    ----------
    name : of the function, and what it is compiled for
    registers, spilled : of a thread; bytes that do not fit into registers
    shared : bytes of a program
    """

    name: str
    registers: int
    spilled: int
    shared: int


def compile_all(capability: int) -> list[Compiled]:
    """Compile every kernel; needs Triton, and its interpreter switched off."""
    from denoise.gpu import amplitude_kernels as amplitude
    from denoise.gpu import evolution_kernels as evolution
    from denoise.gpu import perceptron_kernels as network
    from denoise.gpu import refinement_kernels as refinement

    sets = {"active": "*i16", "BLOCK_S": 16, "K": 8}
    # The published settings at sigma 25 and at 50, and this program's own with its decoder.
    small = {"FREE_MEAN": False, **perceptron.output_blocks(64), **perceptron.BLOCKS}
    large = {"FREE_MEAN": False, **perceptron.output_blocks(256), **perceptron.BLOCKS}
    breeding = {"SELECTION": "fitness", "GUIDED": False, "BLOCK_M": 16, "CHUNK": 32}
    guided = {
        "SELECTION": "best",
        "GUIDED": True,
        "BLOCK_M": 16,
        "CHUNK": 32,
        "BLOCK_H": 128,
        "BLOCK_B": 16,
    }
    matching = {"rows": "*i64", "columns": "*i64"}
    filtering = {"threshold": "fp32", "values": "i32", "num_warps": 2 * WARPS}
    compared = {"BLOCK_S": evolution_host.COMPARED, "BLOCK_T": 1024}
    jobs: list[tuple[Any, dict[str, Any]]] = [
        (amplitude.explore, {**sets, "BLOCK_H": 256}),
        (amplitude.explore, {**sets, "BLOCK_H": 512}),
        (amplitude.accumulate, {**sets, "AMPLITUDES_ONLY": False}),
        (amplitude.accumulate, {**sets, "AMPLITUDES_ONLY": True}),
        (evolution.score, small),
        (evolution.score, large),
        (evolution.breed, {**small, **breeding, "BLOCK_C": 256, "BLOCK_H": 64, "BLOCK_B": 8}),
        (evolution.breed, {**large, **breeding, "BLOCK_C": 64, "BLOCK_H": 512, "BLOCK_B": 64}),
        (evolution.breed, {**small, **guided, "FREE_MEAN": True, "BLOCK_C": 16}),
        (evolution.drop_repeats, compared),
        (evolution.keep_best, {**compared, "BLOCK_B": 64}),
        (network.back_propagate, {**small, "active": "*fp32"}),
        (network.back_propagate, {**large, "active": "*fp32"}),
        (refinement.match, {**matching, "BLOCK_W": 2048}),
        (refinement.match, {**matching, "BLOCK_W": 4096}),
        (refinement.low_rank, {**filtering, "BLOCK_M": gpu_refinement.PATCHES_BLOCK, "K": 64}),
    ]
    return [_compile(kernel, constants, capability) for kernel, constants in jobs]


def _compile(kernel: Any, known: dict[str, Any], capability: int) -> Compiled:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    constants = {name: value for name, value in known.items() if name.isupper()}
    types = _TYPES | {name: kind for name, kind in known.items() if not name.isupper()}
    types |= dict.fromkeys(constants, "constexpr")
    signature = {name: types.get(name, "i32") for name in kernel.arg_names}
    used = {name: value for name, value in constants.items() if name in signature}
    source = ASTSource(fn=kernel, signature=signature, constexprs=used)
    options = {
        "num_warps": known.get("num_warps", WARPS),
        "num_stages": 1,
        "enable_fp_fusion": True,
    }
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options=options)
    sizes = ", ".join(f"{name} {value}" for name, value in used.items())
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
        command = [str(tool), "--dump-resource-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, spilled = (int(number) for number in re.findall(r"(?:REG|STACK):(\d+)", usage))
    return Compiled(f"{kernel.fn.__name__} ({sizes})", registers, spilled, compiled.metadata.shared)


def main(
    *, capability: Annotated[int, typer.Option(help="90 is an H100 or H200.")] = CAPABILITY
) -> None:
    """Print the table."""
    typer.echo("| kernel | registers | spilled bytes | shared bytes |")
    typer.echo("|---" * 4 + "|")
    for one in compile_all(capability):
        typer.echo(f"| {one.name} | {one.registers} | {one.spilled} | {one.shared} |")


if __name__ == "__main__":
    typer.run(main)
