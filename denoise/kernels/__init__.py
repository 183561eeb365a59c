"""The ground floor: operations on tensors and plain numbers, compiled where that pays.

Each operation is a module, with its implementations beside it: `..._numba.py` for a CPU and
`..._triton.py` for a CUDA GPU; `choice.py` chooses. docs/method.md has a row for each.
"""
