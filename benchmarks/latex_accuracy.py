"""How well do LaTeX figures agree with a careful reader? Prints the scorer's line for us, a regex and pandoc.

Reads the papers where S1MM_CORPUS says (default ../shared/corpus) and their ground truth in gt/. The raw score
comes first; then the score without the rows listed in latex_accuracy_doubts.jsonl, where the ground truth is in
doubt. The last line is the summary. ``--misses`` shows every row that differs, ``--papers a,b`` restricts.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpus import CORPUS, require_corpus
from latex import ask_peer

from s1mm_assets.archives import open_bundle
from s1mm_assets.extraction.latex import LatexFigure, read_paper

TRUTH = CORPUS / "gt" / "latex_pairs.jsonl"
DOUBTS = Path(__file__).with_name("latex_accuracy_doubts.jsonl")

Row = dict[str, Any]


def bundles() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield (paper id, members) of every sound bundle of the corpus."""
    for path in sorted((CORPUS / "latex").glob("*.gz")):
        paper = path.name.removesuffix(".gz").removesuffix(".tar")
        yield paper, dict(open_bundle(path.read_bytes(), path.name).members)


def row_of(paper: str, figure: LatexFigure) -> Row:
    """One row as `s1mm extract` prints it."""
    rejection = None
    if figure.image_member is None:
        rejection = "drawn_in_tex" if figure.drawn_in_tex else "graphics_missing"
    return {
        "paper_id": paper,
        "figure_id": f"local:{paper}#{figure.figure_ordinal}.{figure.panel_ordinal}",
        "figure_number": figure.figure_number,
        "image": figure.image_member or figure.graphics_path,
        "caption": figure.caption,
        "sub_caption": figure.sub_caption,
        "parent_caption": figure.parent_caption,
        "caption_raw": figure.caption_raw,
        "labels": figure.labels,
        "mentions": figure.mentions,
        "method": "latex",
        "page": figure.page,
        "rejection": rejection,
        "drawn_by": figure.drawn_by,
    }


def regex_rows(paper: str, members: dict[str, bytes]) -> list[Row]:
    """The plain regular expressions that such datasets are usually built with."""
    rows: list[Row] = []
    for path in sorted(members):
        if path.lower().endswith(".tex"):
            text = members[path].decode("utf-8", "replace")
            for block in re.findall(r"\\begin\{figure\}(.*?)\\end\{figure\}", text, re.DOTALL):
                image = re.search(r"\\includegraphics(?:\[[^\]]*\])?\{([^}]*)\}", block)
                caption = re.search(r"\\caption\{([^}]*)\}", block)
                labels = re.findall(r"\\label\{([^}]*)\}", block)
                if image and caption:
                    rows.append(
                        {
                            "paper_id": paper,
                            "figure_id": f"{paper}#{len(rows)}",
                            "image": image[1],
                            "caption": caption[1],
                            "labels": labels,
                        }
                    )
    return rows


def pandoc_rows(paper: str, members: dict[str, bytes]) -> list[Row]:
    """What pandoc makes of the main file: its Figure blocks, or up to version 2 images titled "fig:"."""
    main = read_paper(members).main_file
    answer = ask_peer("pandoc", members, main) if main else None
    rows: list[Row] = []
    for block in _blocks(json.loads(answer), "Figure") if answer else []:
        attributes, caption, content = block
        text = "".join(part if isinstance(part, str) else " " for part in _strings(caption))
        for image in _blocks(content, "Image"):
            rows.append(_pandoc_row(paper, len(rows), image[2][0], text, attributes[0]))
    for attributes, caption, (path, title) in _blocks(json.loads(answer), "Image") if answer else []:
        if title == "fig:":
            text = "".join(part if isinstance(part, str) else " " for part in _strings(caption))
            rows.append(_pandoc_row(paper, len(rows), path, text, attributes[0]))
    return rows


def _pandoc_row(paper: str, ordinal: int, image: str, caption: str, label: str) -> Row:
    return {
        "paper_id": paper,
        "figure_id": f"{paper}#{ordinal}",
        "image": image,
        "caption": caption,
        "labels": [label],
    }


def _blocks(node: Any, kind: str) -> Iterator[Any]:
    if isinstance(node, dict):
        if node.get("t") == kind:
            yield node["c"]
        for value in node.values():
            yield from _blocks(value, kind)
    elif isinstance(node, list):
        for value in node:
            yield from _blocks(value, kind)


def _strings(node: Any) -> Iterator[str | None]:
    if isinstance(node, dict):
        yield node["c"] if node.get("t") == "Str" else None
        yield from _strings(node.get("c"))
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)


def score(rows: list[Row], *extra: str, truth: Path = TRUTH) -> tuple[dict[str, Any], str]:
    """Run the corpus's scorer; returns its last line and everything before it."""
    with tempfile.TemporaryDirectory() as folder:
        predicted = Path(folder, "rows.jsonl")
        predicted.write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = subprocess.run(
            [sys.executable, str(CORPUS / "gt" / "score_latex.py"), str(truth), str(predicted), *extra],
            capture_output=True,
            text=True,
            check=True,
        )
    *before, last = done.stdout.strip().split("\n")
    return json.loads(last), "\n".join(before)


def score_without_doubts(rows: list[Row], extra: list[str]) -> dict[str, Any]:
    """The score without the pairs where the ground truth, or how it is compared, is in doubt."""
    doubted = {(d["paper"], d["image"]) for d in map(json.loads, DOUBTS.read_text().splitlines())}
    with tempfile.TemporaryDirectory() as folder:
        truth = Path(folder, "truth.jsonl")
        lines = TRUTH.read_text().splitlines()
        kept = [line for line in lines if not _is_doubted(doubted, json.loads(line), "paper")]
        truth.write_text("\n".join(kept) + "\n")
        return score([row for row in rows if not _is_doubted(doubted, row, "paper_id")], *extra, truth=truth)[
            0
        ]


def _is_doubted(doubted: set[tuple[str, str]], row: Row, key: str) -> bool:
    return any(row[key] == paper and (row["image"] or "").endswith(image) for paper, image in doubted)


def mentions_by_label(rows: list[Row], papers: set[str] | None) -> float:
    """Agreement of mention counts in papers that cite by label: the truth does not count typed "Fig. 3"."""
    counts: dict[tuple[str, str, tuple[str, ...]], set[int]] = {}
    for row in rows:
        key = (row["paper_id"], row["figure_number"] or "", tuple(sorted(row["labels"])))
        counts.setdefault(key, set()).add(len(row["mentions"]))
    truth = [json.loads(line) for line in TRUTH.read_text().splitlines()]
    by_label = {t["paper"] for t in truth if t["n_mentions"]}
    agree = total = 0
    for t in truth:
        found = counts.get((t["paper"], t["figure_no"], tuple(sorted(t["labels"]))))
        if t["paper"] in by_label and t["image"] and found and (papers is None or t["paper"] in papers):
            total += 1
            agree += t["n_mentions"] in found
    return round(agree / max(total, 1), 4)


def drawn_agreement(rows: list[Row], papers: set[str] | None) -> dict[str, int]:
    """Figures without a graphics file: how many the truth has, how many were found, by number or label."""
    wanted = [json.loads(line) for line in TRUTH.read_text().splitlines()]
    wanted = [t for t in wanted if t["image"] is None and (papers is None or t["paper"] in papers)]
    found = {(row["paper_id"], str(row["figure_number"])): row for row in rows if row["image"] is None}
    hits = [(t, found.get((t["paper"], t["figure_no"]))) for t in wanted]
    return {
        "drawn_truth": len(wanted),
        "drawn_found": sum(row is not None for _, row in hits),
        "drawn_same_kind": sum(
            row is not None and bool(t["drawn"]) == bool(row["drawn_by"]) for t, row in hits
        ),
        "drawn_mentions_agree": sum(
            row is not None and len(row["mentions"]) == t["n_mentions"] for t, row in hits
        ),
        "drawn_extra": len(found) - sum(row is not None for _, row in hits),
    }


def show_mention_misses(rows: list[Row]) -> None:
    """Print the rows whose number of mentions or figure number differs from the truth."""
    truth = [json.loads(line) for line in TRUTH.read_text().splitlines()]
    seen: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        seen.setdefault((row["paper_id"], str(row["image"]).rsplit("/", 1)[-1].lower()), []).append(row)
    for t in truth:
        image = (t["image"] or "None").rsplit("/", 1)[-1].lower()
        near = seen.get((t["paper"], image), [])
        near.sort(
            key=lambda row: (
                row["figure_number"] != t["figure_no"],
                not set(row["labels"]) & set(t["labels"]),
            )
        )
        for row in near[:1]:
            if len(row["mentions"]) != t["n_mentions"]:
                print(
                    "MENTIONS",
                    t["paper"],
                    t["figure_no"],
                    image,
                    t["n_mentions"],
                    len(row["mentions"]),
                    t["labels"],
                )
            numbers = {t["figure_no"], *t.get("figure_no_alternatives", [])}
            if str(row["figure_number"]) not in numbers:
                print("NUMBER", t["paper"], t["figure_no"], row["figure_number"], image)
            if t["labels"] and not set(t["labels"]) & set(row["labels"]):
                print("LABEL", t["paper"], t["figure_no"], t["labels"], row["labels"])


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--papers")
    parser.add_argument("--rows", type=Path, help="write our rows here")
    given = parser.parse_args()
    require_corpus("latex_accuracy")
    papers = set(given.papers.split(",")) if given.papers else None
    ours, regex, pandoc = [], [], []
    for paper, members in bundles():
        if papers is None or paper in papers:
            ours += [row_of(paper, figure) for figure in read_paper(members, name=paper).figures]
            regex += regex_rows(paper, members)
            if shutil.which("pandoc"):
                pandoc += pandoc_rows(paper, members)
    if given.rows:
        given.rows.write_text("".join(json.dumps(row) + "\n" for row in ours))
    extra = (["--misses"] if given.misses else []) + (["--papers", given.papers] if given.papers else [])
    result, misses = score(ours, *extra)
    if misses:
        print(misses)
    if given.misses:
        show_mention_misses(ours)
    print(json.dumps({"scorer": "ours, raw", **result}))
    undoubted = score_without_doubts(ours, extra[-2:] if given.papers else [])
    print(json.dumps({"scorer": "ours, without the rows in doubt", **undoubted}))
    result = {**result, **drawn_agreement(ours, papers)}
    result.pop("worst")
    result["without_doubts"] = {name: undoubted[name] for name in ("pair_recall", "pair_precision")}
    result["mentions_where_cited_by_label"] = mentions_by_label(ours, papers)
    for name, rows in (("regex", regex), ("pandoc", pandoc)):
        if rows:
            other, _ = score(rows, *(extra[-2:] if given.papers else []))
            other.pop("worst")
            print(json.dumps({"scorer": name, **other}))
            result[name] = {"pair_recall": other["pair_recall"], "pair_precision": other["pair_precision"]}
    print(
        json.dumps(
            {
                "name": "latex_accuracy",
                "headline": min(result["pair_recall"], result["pair_precision"]),
                "goal": 0.99,
                "better": "higher",
                **result,
            }
        )
    )


if __name__ == "__main__":
    main()
