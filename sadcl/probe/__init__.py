"""The linear probe, the baseline that every trained head has to beat."""
