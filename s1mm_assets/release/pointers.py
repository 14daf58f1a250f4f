"""Pointer files: what stands in a git checkout for content that was not fetched, here as far as LFS writes them."""

import re
from dataclasses import dataclass

MAX_BYTES = 1024  # git-lfs takes nothing larger for a pointer
POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*"
    rb"oid sha256:(?P<sha256>[0-9a-f]{64})\nsize (?P<n_bytes>\d{1,18})\n?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """What a pointer says of the content that it stands for."""

    sha256: str
    n_bytes: int


def pointer_in(content: bytes) -> Pointer | None:
    """Return the pointer that a file's bytes are, None where they are none."""
    match = POINTER.fullmatch(content) if len(content) <= MAX_BYTES else None
    return Pointer(sha256=match["sha256"].decode(), n_bytes=int(match["n_bytes"])) if match else None
