"""Measurements that nobody who retrains should pay for: a DVC project of its own."""
