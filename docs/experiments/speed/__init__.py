"""How long a run takes, and how near its stages come to the limits of the machine.

`PYTHONPATH=docs/experiments python -m speed` prints Markdown tables: whole runs on squares of
several sizes (`whole_runs.py`), then each stage on one chunk of patches or groups, through kernels
and through plain tensors.
"""
