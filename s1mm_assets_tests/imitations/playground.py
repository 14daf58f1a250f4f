"""The publishers in small, filled with the example papers, around a command: what `make dev` runs the UI in.

    python -m s1mm_assets_tests.imitations.playground s1mm acquire -p 'biorxiv|2023'

The command finds them by S1MM_PUBLISHERS, with credentials that pay for nothing, and with settings that ask all five
(examples/playground.toml) unless S1MM_SETTINGS names others. Nothing leaves this machine.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from s1mm_assets_tests.imitations import chemrxiv, europepmc, oai, openrxiv
from s1mm_assets_tests.imitations.publishers import CREDENTIALS, ImitationPublishers

SETTINGS = Path(__file__).parents[2] / "examples" / "playground.toml"


def fill(publishers: ImitationPublishers) -> None:
    """Publish the example papers at all five."""
    oai.fill(publishers)
    details, europe = openrxiv.OpenRxivDetails(), europepmc.EuropePmcImitation()
    openrxiv.fill(publishers, details)
    europepmc.fill(publishers, europe)
    chemrxiv.fill(publishers)
    publishers.mount("details", details)
    publishers.mount("europepmc", europe)


def environment(publishers: ImitationPublishers) -> Mapping[str, str]:
    """Return what a command needs in its environment to ask them."""
    return {
        **{name.upper(): value for name, value in CREDENTIALS.items()},
        "S1MM_PUBLISHERS": publishers.base,
        "S1MM_SETTINGS": os.environ.get("S1MM_SETTINGS") or str(SETTINGS),
    }


def main(command: list[str]) -> int:
    """Run a command among the publishers; return its exit code."""
    publishers = ImitationPublishers()
    publishers.start()
    try:
        fill(publishers)
        with subprocess.Popen(command, env={**os.environ, **environment(publishers)}) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the command has been told as well
                return process.wait()
    finally:
        publishers.stop()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
