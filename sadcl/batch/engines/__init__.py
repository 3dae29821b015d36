"""Engines: who computes the pieces of a job."""
