"""The rules behind some checks, and the settings that move them."""

import io
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from PIL import Image

from s1mm_assets.checks.figure_candidates import papers_gave_figures_or_a_reason
from s1mm_assets.checks.filtered_figures import what_fails
from s1mm_assets.checks.hf_release import MEMBER, records_and_archive_agree
from s1mm_assets.checks.recaptions import few_rejected
from s1mm_assets.resources.settings import CheckSettings, Settings, SettingsError

PAPERS = pl.DataFrame(
    {"paper_id": ["a", "b"], "n_rows": [2, 0], "rejection": [None, "html"]},
    schema_overrides={"n_rows": pl.UInt32},
)
FIGURES = pl.DataFrame({"paper_id": ["a", "a"]})


@pytest.mark.parametrize(
    ("papers", "figures", "is_sound"),
    [
        (PAPERS, FIGURES, True),
        (PAPERS.with_columns(rejection=pl.lit(None, pl.String)), FIGURES, False),  # b says nothing
        (PAPERS, FIGURES.head(1), False),  # a figure is missing
        (PAPERS.head(0), FIGURES, False),  # figures of no paper
        (PAPERS, pl.concat([FIGURES, pl.DataFrame({"paper_id": ["c"]})]), False),
    ],
)
def test_papers_give_figures_or_a_reason(papers: pl.DataFrame, figures: pl.DataFrame, is_sound: bool) -> None:
    """Counts agree, and silence is no reason."""
    assert papers_gave_figures_or_a_reason(papers, figures).passed is is_sound


RELEASED = pl.DataFrame(
    {"image_path": ["p/f1_p1.png", "p/f2_p1.png"], "image_sha256": ["1", "2"]}, schema=MEMBER
)


@pytest.mark.parametrize(
    "archived",
    [
        RELEASED.head(1),  # missing
        pl.concat([RELEASED, pl.DataFrame({"image_path": ["q"], "image_sha256": ["3"]}, schema=MEMBER)]),
        RELEASED.with_columns(image_sha256=pl.Series(["1", "x"])),  # other bytes
    ],
)
def test_records_and_archive_disagree(archived: pl.DataFrame) -> None:
    """A missing member, an orphan or another digest fails; equal sides pass."""
    assert not records_and_archive_agree(RELEASED, archived).passed
    assert records_and_archive_agree(RELEASED, RELEASED).passed


def test_images_that_open() -> None:
    """To the last pixel."""
    sink = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(sink, "PNG")

    assert what_fails(sink.getvalue()) is None
    assert "truncated" in (what_fails(sink.getvalue()[:-2000]) or "")
    assert what_fails(None) == "there is none"
    assert "UnidentifiedImageError" in (what_fails(b"\x89PNG") or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[filtering]\nmin_size = 3\n", "has no setting min_size; it has: min_image_size_bytes"),
        ("[filter]\n", r"has no section \[filter\]"),
        ("[filtering\n", "cannot be read as TOML"),
        ('[recaptioning]\nengine = "gpt"\n', "engine is 'gpt'"),
    ],
)
def test_settings_that_are_none_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """A misspelt threshold must not be ignored: the error names file, section and what there is."""
    file = tmp_path / "s1mm.toml"
    file.write_text(text)

    with pytest.raises(SettingsError, match=message):
        Settings(path=str(file)).as_dict()


def test_settings_override_defaults(tmp_path: Path) -> None:
    """Those of the file count, the others keep their defaults."""
    file = tmp_path / "s1mm.toml"
    file.write_text("[filtering]\nmin_image_size_bytes = 9000\n")

    settings = Settings(path=str(file))

    assert settings.filtering.min_image_size_bytes == 9000
    assert settings.filtering.near_duplicate_bits == Settings().filtering.near_duplicate_bits


@pytest.mark.parametrize(("n_rejected", "is_fine"), [(0, True), (1, True), (2, False)])
def test_many_figures_without_a_recaption_warn(n_rejected: int, is_fine: bool) -> None:
    """Up to the share that the settings allow is usual; beyond it the reasons are counted."""
    reasons: list[str | None] = [None] * (20 - n_rejected)
    recaptions = pl.DataFrame(
        {"figure_id": map(str, range(20)), "rejection": [*reasons, *["answer_loop"] * n_rejected]},
        schema={"figure_id": pl.String, "rejection": pl.String},
    )

    found = few_rejected(recaptions, CheckSettings(max_recaption_rejection_rate=0.05))

    assert found.passed == is_fine
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert found.metadata["reasons"].value == ({"answer_loop": n_rejected} if n_rejected else {})
    assert few_rejected(recaptions.clear(), CheckSettings()).passed
