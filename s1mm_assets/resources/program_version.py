"""The version of a program outside this process, as it states it itself."""

import re
import shutil
import subprocess

ANSWER_S = 120  # a first start may import much


def stated_version(program: str, option: str = "--version") -> str | None:
    """Return the version number that a program states, or "unknown".

    Args:
        program: Name or path.
        option: What makes it say its version.

    Returns:
        None if it is not installed, which holds too for one that does not start or does not answer.
    """
    path = shutil.which(program)
    if path is None:
        return None
    try:
        said = subprocess.run([path, option], capture_output=True, check=False, timeout=ANSWER_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    number = re.search(rb"\d+(\.\d+)+", said.stdout + said.stderr)
    return number[0].decode("ascii") if number else "unknown"
