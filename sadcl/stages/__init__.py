"""Stages of the DVC pipeline: a short module each, which reads files, calls one function and writes files.

A stage has ``READS``, what it reads in words, and ``main``, which does the work and returns what it wrote.
``python -m sadcl.stages NAME`` runs one.
"""
