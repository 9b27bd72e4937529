"""Light through a plane-parallel atmosphere: how particles and surfaces scatter it, and what comes back to space."""
