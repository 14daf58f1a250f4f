"""One file per asset: what depends on what, and a few lines of introduction."""
