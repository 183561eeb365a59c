"""E-step, M-step and refinement on a CUDA GPU, by Triton.

One module brings tensors into the kernels and out of them, and the one named
..._kernels, which needs Triton, holds the kernels; it is imported when it is used.
"""
