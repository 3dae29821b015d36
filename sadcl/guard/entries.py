"""Values as the ledger holds them."""

from sadcl.registry.audit import hash_chain

MAX_CHARACTERS = 2000
"""Characters of a value that the ledger holds; for a longer one it holds the digest."""


def shortened(value: str | None) -> str | None:
    """Value as the ledger holds it."""
    # A digest still shows whether a value is the one that was written.
    return value if value is None or len(value) <= MAX_CHARACTERS else hash_chain.digest(value)
