"""The HTTP edge of storage: STOW-RS and what we add to it."""
