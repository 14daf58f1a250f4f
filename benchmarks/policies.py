"""Do releases under every licence policy hold together, and can what they keep back be rebuilt? One line of JSON last.

Builds the LaTeX bundles of the corpus, each with the licence that the corpus' index states, under the policies all,
metadata-only and redistributable; verifies each release; then rebuilds the images of the last one's recipes from the
bundles, and verifies what comes out. The headline is the share that is rebuilt to the byte, with its caption.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from corpus import CORPUS, require_corpus
from end_to_end import S1MM, environment, pack

POLICIES = ("all", "metadata-only", "redistributable")


def main() -> None:
    """Build, verify, rebuild, and print."""
    require_corpus("policies")
    with tempfile.TemporaryDirectory(prefix="s1mm-bench-", dir=os.environ.get("TMPDIR")) as scratch:
        home = Path(scratch)
        sources = pack(home / "sources")
        licences(sources / "local" / "metadata.jsonl")
        found = {policy: released(policy, sources, home) for policy in POLICIES}
        rebuilt = rehydrated(sources, home, POLICIES[-1])
    print(
        json.dumps(
            {
                "name": "policies",
                "headline": round(rebuilt["n_rebuilt"] / max(1, found[POLICIES[-1]]["n_recipes"]), 4),
                "goal": 1.0,
                "better": "higher",
                "releases": found,
                **rebuilt,
                "measured_on": "the LaTeX bundles of the corpus, licences as its index states them",
            }
        )
    )


def licences(path: Path) -> None:
    """Write what the corpus' index says of each bundle; the file that states an id is not part of the id."""
    rows = [json.loads(line) for line in (CORPUS / "latex" / "index.jsonl").read_text("utf-8").splitlines()]
    there = {each.name for each in path.parent.iterdir()}
    with path.open("w", encoding="utf-8") as lines:
        for row in rows:
            name = Path(row["file"]).name
            if name in there:
                said = (row.get("licence") or "").removesuffix(" (README)")
                year = {"year": int(row["year"])} if str(row.get("year", "")).isdigit() else {}
                record = {"file": name, "title": row.get("title"), "licence": said, **year}
                lines.write(json.dumps(record) + "\n")


def released(policy: str, sources: Path, home: Path) -> dict[str, Any]:
    """Build and verify the release of one policy; return what is in it."""
    settings = home / f"{policy}.toml"
    settings.write_text(
        f'[release]\nlicence_policy = "{policy}"\nwebdataset = {str(policy == "all").lower()}\n'
    )
    release = home / policy
    changes = {"S1MM_SETTINGS": str(settings), "S1MM_RELEASE": str(release)}
    run({**environment(sources, home), **changes}, "build")
    verified = json.loads(run(environment(sources, home), "verify", str(release), "--json"))
    return {
        "n_images": n_lines(release, "jsonl"),
        "n_recipes": n_lines(release, "recipes"),
        "is_sound": verified["is_sound"],
    }


def rehydrated(sources: Path, home: Path, policy: str) -> dict[str, Any]:
    """Rebuild the images of a release's recipes; return how many there are, and whether they verify."""
    target = home / "rebuilt"
    arguments = ("rehydrate", str(home / policy), "--papers", str(sources), "--out", str(target))
    run(environment(sources, home), *arguments, codes=(0, 1))
    verified = json.loads(run(environment(sources, home), "verify", str(target), "--json"))
    return {"n_rebuilt": n_lines(target, "jsonl"), "rebuilt_is_sound": verified["is_sound"]}


def n_lines(release: Path, folder: str) -> int:
    """Count the lines of a kind of file of a release."""
    return sum(len(path.read_bytes().splitlines()) for path in release.glob(f"*/{folder}/*.jsonl"))


def run(env: dict[str, str], *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    """Run the command and return what it prints; end where it fails."""
    done = subprocess.run([S1MM, *arguments], env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in codes:
        sys.exit(f"s1mm {arguments[0]} ended with exit code {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


main()
