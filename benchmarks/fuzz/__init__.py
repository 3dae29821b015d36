"""Fuzzing of the readers of data sources and of registered versions' files with malformed ones: ``make fuzz``."""
