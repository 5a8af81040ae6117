"""The acoustic model: symbols to mel with explicit durations, and a decoder of limited context that streams."""
