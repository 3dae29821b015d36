"""Signatures with Ed25519: keys, the folder that keeps them, and the DSSE encoding."""
