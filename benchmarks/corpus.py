"""Where the benchmarks find real papers, and what they say where there are none."""

import json
import os
import sys
from pathlib import Path

CORPUS = Path(os.environ.get("S1MM_CORPUS", Path(__file__).resolve().parents[2] / "shared" / "corpus"))


def require_corpus(name: str) -> Path:
    """Return the corpus; where there is none, print a line that says so, and end well."""
    if not (CORPUS / "latex").is_dir():
        print(json.dumps({"name": name, "skipped": f"no corpus at {CORPUS} (set S1MM_CORPUS)"}))
        sys.exit(0)
    return CORPUS
