"""What a CPU does in compiled loops, by numba.

One module brings tensors into the loops and out of them, and the one named ..._kernels holds the
loops; it is imported when it is used.
"""
