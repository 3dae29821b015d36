"""Stages of the DVC pipeline: one short module each, which reads files, calls one function and writes files.

A stage has ``READS``, its inputs for the first printed line, and ``main``, which writes the outputs and returns the
last printed line.
``python -m sadcl.stages NAME`` runs one.
"""
