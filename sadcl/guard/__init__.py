"""What MLflow's server itself refuses and notes, whoever asks and however.

Only the server's process loads this package, and it imports MLflow at once.
"""
