"""The voice service: many voices, many listeners, real time. `polyvox serve` runs it."""
