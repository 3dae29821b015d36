"""Fuzzing of the data sources' readers with odd and malformed exports: ``make fuzz``."""
