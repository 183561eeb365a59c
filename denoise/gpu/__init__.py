"""E-step and M-step on a CUDA GPU, by Triton.

For each model, one module brings tensors into the kernels and out of them, and the one named
..._kernels, which needs Triton, holds the kernels; it is imported when it is used.
"""
