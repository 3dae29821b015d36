"""Readers of sources against odd and malformed exports: ``make fuzz``."""
