"""Which costly measures are taken, by which models and of which figures. All of it shapes the data."""

from dataclasses import dataclass

from s1mm_assets.sampling import END


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSettings:
    """What quality_metrics measures beside lengths, language and grounding."""

    pseudo_perplexity: bool = False
    """Whether it is measured; the model must be there, or reachable on the Hub."""
    masked_language_model: str = "allenai/scibert_scivocab_uncased"
    """A name on the Hub, or a local folder."""
    masked_language_model_revision: str = ""
    """A commit, branch or tag on the Hub; empty: its main branch."""
    pseudo_perplexity_share: float = 1.0
    """Share of the figures, drawn by their ids."""
    clip_score: bool = False
    """Whether it is measured, with the shuffled-pair probe."""
    clip_model: str = "ViT-B-32-quickgelu"
    """An open_clip model, `hf-hub:<name>`, or `local-dir:<folder>`."""
    clip_weights: str = "openai"
    """Which of the model's weights, as open_clip names them; empty where `clip_model` names them too."""
    clip_revision: str = ""
    """Of `hf-hub:` models; empty: the main branch."""
    clip_score_share: float = 1.0
    """Share of the figures, drawn by their ids."""
    seed: int = 0
    """Of the samples and of the shuffled pairs."""

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        if not 0 <= self.seed < END:
            raise ValueError("seed must be a whole number from 0, below 2^64")
        for name in ("pseudo_perplexity_share", "clip_score_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} must be above 0 and at most 1; the measure itself is turned off by name"
                )
