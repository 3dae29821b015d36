"""Measurements that nobody who retrains should pay for: a DVC project of its own."""

from sadcl.processes import before_torch

before_torch()  # each module here is a program, and imports torch at its top
