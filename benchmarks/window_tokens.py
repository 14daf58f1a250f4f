"""How far do estimated tokens lie from real ones? Prints one line of JSON.

The windows are those of the corpus's LaTeX papers, before anything is cut. The headline is the share of windows whose
estimate is below the count of Qwen's own vocabulary, which the packages `dashscope` and `tiktoken` bring
(`pip install dashscope tiktoken`; without them nothing is measured).
"""

import base64
import importlib.util
import json
import sys
import unicodedata
from pathlib import Path

import numpy as np
from corpus import require_corpus
from latex import members_of

from s1mm_assets.extraction.latex import read_paper
from s1mm_assets.recaptioning.budget import estimated_tokens
from s1mm_assets.recaptioning.prompt import one_line

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
vocabulary = importlib.util.find_spec("dashscope")
if vocabulary is None or vocabulary.origin is None or importlib.util.find_spec("tiktoken") is None:
    print(json.dumps({"name": "window_tokens", "skipped": "pip install dashscope tiktoken"}))
    sys.exit(0)

import tiktoken  # noqa: E402

lines = (Path(vocabulary.origin).parent / "resources" / "qwen.tiktoken").read_bytes().splitlines()
ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}
qwen = tiktoken.Encoding("qwen", pat_str=SPLIT, mergeable_ranks=ranks, special_tokens={})

ratios, estimated, real = [], 0, 0
for path in sorted((require_corpus("window_tokens") / "latex").glob("*.gz")):
    paper = read_paper(members_of(path.read_bytes()), name=path.name)
    for figure in paper.figures:
        mentioned = [text for each in figure.mentions for text in (each["section"], each["text"])]
        own = [figure.caption, figure.sub_caption, figure.parent_caption]
        texts = [one_line(text) for text in (paper.title, paper.abstract, *own, *mentioned) if text]
        if not texts:
            continue
        guess = sum(estimated_tokens(text) for text in texts)
        count = sum(len(qwen.encode_ordinary(unicodedata.normalize("NFC", text))) for text in texts)
        estimated, real = estimated + guess, real + count
        ratios.append(guess / count)

share_below = float(np.mean(np.array(ratios) < 1))
print(
    json.dumps(
        {
            "name": "window_tokens",
            "headline": share_below,
            "goal": 0.01,
            "better": "lower",
            "windows": len(ratios),
            "estimated_over_real": round(estimated / real, 3),
            "mean": round(float(np.mean(ratios)), 3),
            "percentiles_1_99": [round(float(each), 3) for each in np.percentile(ratios, (1, 99))],
        }
    )
)
