"""What is written about a release: card with pictures, attribution, Croissant metadata; and what the manifest says."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from s1mm_assets import release
from s1mm_assets.release.manifest import Edition
from s1mm_assets.release.papers import IMAGE
from s1mm_assets.resources.quality_report import DRAWN, drawn, steps
from s1mm_assets.resources.release_pieces import StoredPieces, thresholds
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.takedowns import terms

DESCRIPTION = (
    "Figures of open-access papers. Each has the image, its authors' caption, the paragraphs that cite it, and a "
    "recaption written from that context."
)
CAPTIONS = {
    "lengths": "Lengths of captions and recaptions, in characters",
    "subjects": "Records by subject",
    "pseudo_perplexity": "Pseudo-perplexity of captions and recaptions",
    "clip_scores": "CLIP scores of captions and recaptions",
    "rejections": "What became of the figures that were found",
}
COUNTED = ("subjects", "rejections")  # of all
MOST_DRAWN = 200_000  # records: more of them change no line of a picture by its width
TURN_ON = {
    "CLIP score": "set clip_score = true under [metrics]",
    "pseudo-perplexity": "set pseudo_perplexity = true under [metrics]",
}


class ReleaseTexts:
    """The texts of a publication, made of what its partitions hold when this is made."""

    def __init__(self, pieces: StoredPieces, settings: Settings) -> None:
        self._settings = settings.release
        self._terms = terms(settings)
        self._facts = pieces.facts()
        self._made_by = pieces.provenance()
        self._share = share_drawn(self._facts)
        self._pictures = pictures(pieces, self._facts, self._share)

    def __call__(self, history: Sequence[Edition]) -> dict[str, bytes]:
        """Return the texts by path.

        Args:
            history: The versions so far, the first one first.
        """
        from s1mm_assets.release.croissant import croissant

        return {
            "README.md": self.card(history).encode(),
            "ATTRIBUTION.md": release.attribution(self._facts).encode(),
            "croissant.json": croissant(
                title=self._settings.title,
                description=DESCRIPTION,
                version=history[-1].version if history else 1,
                sources=[fact.source for fact in self._facts if fact.n_records],
                licences=self._licences(),
                repo_id=self._settings.repository or None,
            ),
            **{path_of(name): png for name, png in self._pictures.items()},
        }

    def card(self, history: Sequence[Edition]) -> str:
        """Return the dataset card."""
        return release.dataset_card(
            self._facts,
            settings=self._settings,
            thresholds=thresholds(self._made_by.get("filtered_figures", {}).get("settings", [])),
            score_settings=TURN_ON,
            history=history,
            pictures={path_of(name): self._caption(name) for name in self._pictures},
        )

    def dataset(self) -> dict[str, Any]:
        """Return what the manifest says of how the release was made."""
        engines: Counter[tuple[str, str, str, str]] = Counter()
        for fact in self._facts:
            engines.update(fact.engines)
        return {
            "title": self._settings.title,
            **self._terms,
            "engines": [[*engine, n] for engine, n in sorted(engines.items())],
            "not_evaluated": release.not_evaluated_scores(self._facts),
            "made_by": self._made_by,
        }

    def _caption(self, picture: str) -> str:
        is_sampled = self._share < 1 and picture not in COUNTED
        return CAPTIONS[picture] + (
            f", of a sample of {self._share:.1%} of the records" if is_sampled else ""
        )

    def _licences(self) -> list[str]:
        found = {
            licence for fact in self._facts for licence, released_as in fact.licences if released_as == IMAGE
        }
        return sorted(found - {release.NOT_KNOWN})


def path_of(picture: str) -> str:
    """Return where a picture stands in the release."""
    return f"pictures/{picture}.png"


def share_drawn(facts: Sequence[release.PartitionFacts]) -> float:
    """Return the share of the released records that distributions are drawn from."""
    n_released = sum(fact.n_records + fact.n_recipes for fact in facts)
    return min(1.0, MOST_DRAWN / n_released) if n_released else 1.0


def pictures(pieces: StoredPieces, facts: Sequence[release.PartitionFacts], share: float) -> dict[str, bytes]:
    """Draw a share of the released records, and what became of all figures; nothing where there are none."""
    from s1mm_assets.metrics import charts  # matplotlib takes half a second to load

    n_found = sum(fact.n_figures for fact in facts)
    if not n_found:
        return {}
    counts: Counter[tuple[str, str]] = Counter()
    for fact in facts:
        counts.update(fact.rejections)
    made = {"rejections": charts.rejection_waterfall(n_found, steps(dict(sorted(counts.items()))))}
    metrics = pieces.released_metrics(DRAWN, share=share)
    if metrics.is_empty():
        return made
    subjects: Counter[str | None] = Counter()
    for fact in facts:
        subjects.update({None if each == release.NOT_KNOWN else each: n for each, n in fact.subjects.items()})
    return {**made, **drawn(metrics, subjects)}
