"""What a stage gave under its VERSION, kept in golden/versions.json: other outputs need another version."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VERSIONS = Path(__file__).parent / "golden" / "versions.json"


def recorded() -> dict[str, Any]:
    """Return what is pinned, by name; nothing where nothing is."""
    values: dict[str, Any] = json.loads(VERSIONS.read_text()) if VERSIONS.is_file() else {}
    return values


def require_another_version(asset: str, found: Mapping[str, str], was: Mapping[str, str]) -> None:
    """Fail where an asset gives other outputs under the version it had."""
    assert found["version"] != was["version"], (
        f"{asset} gives other rows than version {was['version']} did: raise its VERSION"
    )


def require_recorded(found: Mapping[str, Any]) -> None:
    """Fail where something is not pinned as it is; `S1MM_UPDATE_GOLDEN=1` pins it instead."""
    if os.environ.get("S1MM_UPDATE_GOLDEN") == "1":
        VERSIONS.write_text(json.dumps({**recorded(), **found}, indent=1) + "\n")
    now = recorded()
    assert {name: now.get(name) for name in found} == found, "run `make golden`"
