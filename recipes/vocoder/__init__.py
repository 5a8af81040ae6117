"""The universal vocoder: log-mel features -> audio."""
