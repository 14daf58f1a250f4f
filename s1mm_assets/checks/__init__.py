"""One file per asset: what must hold before the next room reads it. The checks of an asset are one step."""
