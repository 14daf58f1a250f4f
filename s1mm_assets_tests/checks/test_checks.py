"""Each check passes on what is sound, and fails on each thing that it guards against."""

import io
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from PIL import Image

from s1mm_assets.checks.conservation import conserved, none_of, not_evaluated
from s1mm_assets.checks.figure_candidates import papers_gave_figures_or_a_reason
from s1mm_assets.checks.filtered_figures import opens
from s1mm_assets.checks.hf_release import MEMBER, records_and_archive_agree
from s1mm_assets.checks.recaptions import few_rejected
from s1mm_assets.resources.settings import Settings, SettingsError


def ids(*names: str) -> pl.Series:
    return pl.Series("figure_id", names, dtype=pl.String)


def test_what_came_in_goes_out() -> None:
    """In any order, and also where nothing came in."""
    assert conserved("c", ids("a", "b"), ids("b", "a")).passed
    assert conserved("c", ids(), ids()).passed


@pytest.mark.parametrize(
    ("before", "after", "culprit"),
    [
        (ids("a", "b"), ids("a"), ("lost", ["b"])),
        (ids("a"), ids("a", "x"), ("invented", ["x"])),
        (ids("a", "b"), ids("a", "b", "b"), ("repeated", ["b"])),
    ],
)
def test_a_row_lost_invented_or_repeated_fails(
    before: pl.Series, after: pl.Series, culprit: tuple[str, list[str]]
) -> None:
    """The culprits are shown."""
    result = conserved("c", before, after)

    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.ERROR
    assert result.metadata[culprit[0]].value == culprit[1]


def test_wrong_rows_fail_with_examples() -> None:
    """At most five are shown, all are counted."""
    wrong = pl.DataFrame({"figure_id": [f"f{i}" for i in range(9)]})

    result = none_of("c", wrong)

    assert not result.passed
    assert result.metadata["n_wrong"].value == 9
    assert len(result.metadata["examples"].value) == 5  # type: ignore[arg-type]
    assert none_of("c", wrong.clear()).passed


def test_what_was_not_evaluated_warns() -> None:
    """It neither passes nor blocks."""
    result = not_evaluated("c", "no model")

    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert "no model" in (result.description or "")


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

    assert opens(sink.getvalue())
    assert not opens(sink.getvalue()[:-2000])
    assert not opens(None)
    assert not opens(b"\x89PNG")


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
    rejections = pl.Series([None] * (20 - n_rejected) + ["answer_loop"] * n_rejected, dtype=pl.String)

    found = few_rejected(rejections, 0.05)

    assert found.passed == is_fine
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert found.metadata["reasons"].value == ({"answer_loop": n_rejected} if n_rejected else {})
    assert few_rejected(rejections.clear(), 0.05).passed
