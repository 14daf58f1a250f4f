"""The `s1mm` command: one file per group of subcommands, thin like an asset.

Exit codes: 0 done, 1 something is wrong with the data, 2 something is wrong with the call.
"""

from s1mm_assets.cli.app import app

__all__ = ["app"]
