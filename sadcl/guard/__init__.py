"""Plug-in of MLflow's server: refuses changes against the rules and records all others, however they are requested.

Only the server's process loads this package, and it imports MLflow at once.
"""
