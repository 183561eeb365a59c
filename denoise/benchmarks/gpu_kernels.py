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

from denoise import fused, fused_mlp

# Compute capability of the H100 and H200, and of smaller and older GPUs: 86, 80, 75.
CAPABILITY = 90
_NUMBERS = (
    *("latents", "size", "most_active", "expansions", "children"),
    *("parents", "hidden", "width"),
)
_TYPES: dict[str, str] = {
    **dict.fromkeys(("projections", "gram", "log_odds", "scores", "log_joints"), "*fp32"),
    **dict.fromkeys(("before", "rows", "weights", "bias", "values", "signs", "squared"), "*fp32"),
    **dict.fromkeys(("keys", "latent_sums", "products", "amplitudes", "chosen"), "*i64"),
    **dict.fromkeys(("leak", "reach"), "fp32"),
    **dict.fromkeys(_NUMBERS, "i32"),
    "active": "*i16",
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
    from denoise import fused_kernels as amplitude
    from denoise import fused_mlp_kernels as mlp

    amplitude_sizes = {"BLOCK_S": 16, "K": 8}
    mlp_sizes = {"BLOCK_M": 16, "BLOCK_F": fused_mlp.HIDDEN_BLOCK}
    jobs: list[tuple[Any, dict[str, Any]]] = [
        (amplitude.explore, {**amplitude_sizes, "BLOCK_H": 256}),
        (amplitude.explore, {**amplitude_sizes, "BLOCK_H": 512}),
        (amplitude.accumulate, {**amplitude_sizes, "AMPLITUDES_ONLY": False}),
        (amplitude.accumulate, {**amplitude_sizes, "AMPLITUDES_ONLY": True}),
        (mlp.squared_errors, {**mlp_sizes, "FREE_MEAN": True, "BLOCK_D": 64}),
        (mlp.squared_errors, {**mlp_sizes, "FREE_MEAN": False, "BLOCK_D": fused_mlp.MOST_VALUES}),
    ]
    return [_compile(kernel, constants, capability) for kernel, constants in jobs]


def _compile(kernel: Any, constants: dict[str, Any], capability: int) -> Compiled:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    known = {**_TYPES, **dict.fromkeys(constants, "constexpr")}
    signature = {name: known[name] for name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    options = {"num_warps": fused.WARPS, "num_stages": 1, "enable_fp_fusion": True}
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options=options)
    sizes = ", ".join(f"{name} {value}" for name, value in constants.items())
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
