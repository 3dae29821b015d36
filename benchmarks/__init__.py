"""Benchmarks, in their own DVC project: retraining the main pipeline never repeats them."""

from sadcl.processes import before_torch

before_torch()  # every module here is a program that imports torch at its top
