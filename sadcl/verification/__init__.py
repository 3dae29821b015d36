"""Verification: a registered version is scored and judged again by somebody else than its author."""
