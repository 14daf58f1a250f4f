"""The settings that shape the data, read from one TOML file; `s1mm settings` prints it with every default.

Addresses, numbers of workers and batch sizes are fields of the resources that use them, not settings. Four sections
shape no data: [acquisition], which publishers are asked, [vllm], how servers are run, [publication], what may go to
the Hub, and [steps], what each step asks of a cluster.
"""

import math
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg

from s1mm_assets.extraction import PdfSettings, RasterSettings
from s1mm_assets.filtering import FilterSettings, TextSettings
from s1mm_assets.metrics import MetricSettings
from s1mm_assets.recaptioning import RecaptionSettings
from s1mm_assets.release import ReleaseSettings
from s1mm_assets.release.hub import PublicationSettings
from s1mm_assets.resources.layout_detector import DETECTORS
from s1mm_assets.resources.layout_detectors import TIERS
from s1mm_assets.resources.publishers.terms import AcquisitionSettings
from s1mm_assets.resources.step_settings import StepSettings, merged
from s1mm_assets.sampling import END

Section = TypeVar("Section")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """Where the checks draw their lines. They stop or warn; they change no data."""

    min_archive_rejection_rate: float = 0.0
    max_archive_rejection_rate: float = 0.35  # the paper reports about 0.20 for arXiv
    max_recaption_rejection_rate: float = 0.05  # of the kept figures
    n_reopened_images: int = 64  # kept images that are decoded once more, per partition
    allow_vanished_chunks: bool = (
        False  # a chunk that was landed and is gone takes its papers out of the release
    )
    clip_floor: float = 0.4  # a recaption that scores lower does not fit its image
    min_share_above_clip_floor: float = 0.5  # of the scored recaptions; fewer stop the release
    min_clip_uplift: float = 0.0  # of the mean, recaptions over captions; less stops the release
    min_probe_auc: float = 0.6  # true against shuffled pairs; 0.5 is chance
    max_perplexity_shift: float = 0.0  # mean log10, recaption less caption
    min_grounding: float = 0.5  # grounded claims over claims
    max_degenerate_share: float = 0.25  # of the recaptions; more stop the release
    max_drift: float = 0.25  # of a mean from the neighbouring years', as a share of theirs
    max_drift_from_paper: float = 0.5  # of a number from the paper's, as a share of it
    min_rows_for_drift: int = 100  # recaptions; fewer are not compared
    min_precision: float = 0.9  # of the kept figures, by people's verdicts
    gallery_seed: int = 0  # another one shows other figures

    def __post_init__(self) -> None:
        """Refuse a seed that is none."""
        if not 0 <= self.gallery_seed < END:
            raise ValueError("gallery_seed must be a whole number from 0, below 2^64")


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmSettings:
    """How vLLM servers are run and waited for. None of it shapes the data, nor makes any of it again."""

    in_flight_per_server: int = 64  # requests that one server is given at a time
    request_timeout_s: float = 180.0
    outage_after_s: float = 120.0  # without a healthy server the step stops
    tensor_parallel: int = 1  # GPUs that one server of our own spreads over
    max_model_len: int = 8_192  # tokens of a request and its answer
    gpu_memory_utilization: float = 0.92
    start_timeout_s: float = 1_800.0  # weights load from slow disks
    max_restarts: int = 10  # of one server within an hour

    def __post_init__(self) -> None:
        """Refuse what no server can be run with."""
        for name in ("in_flight_per_server", "tensor_parallel", "max_model_len"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("request_timeout_s", "outage_after_s", "start_timeout_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0")
        if not 0 < self.gpu_memory_utilization <= 1:
            raise ValueError("gpu_memory_utilization lies in 0 to 1")
        if self.max_restarts < 0:
            raise ValueError("max_restarts must be at least 0")


SECTIONS: dict[str, type] = {
    "acquisition": AcquisitionSettings,
    "raster": RasterSettings,
    "pdf": PdfSettings,
    "texts": TextSettings,
    "filtering": FilterSettings,
    "recaptioning": RecaptionSettings,
    "vllm": VllmSettings,
    "metrics": MetricSettings,
    "release": ReleaseSettings,
    "publication": PublicationSettings,
    "checks": CheckSettings,
}
STEPS_SECTION = "steps"  # it has a section for each asset


class SettingsError(Exception):
    """The settings file holds something that is not a setting."""


def is_alike(value: object, default: object) -> bool:
    """Whether a value has the type of a default; a whole number may stand for a fraction."""
    if isinstance(default, tuple):
        return isinstance(value, (list, tuple))
    if isinstance(default, float) and not isinstance(value, bool):
        return isinstance(value, (int, float))
    return type(value) is type(default)


class Settings(dg.ConfigurableResource[Any]):
    """The settings of one pipeline; without a file, the defaults."""

    path: str = ""

    def _section(self, name: str, section: type[Section]) -> Section:
        values = self._file().get(name, {})
        if not isinstance(values, dict):
            raise SettingsError(f"{self.path}: {name} must be a section: [{name}]")
        known = [field.name for field in fields(section)]  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise SettingsError(
                f"{self.path}: [{name}] has no setting {unknown[0]}; it has: {', '.join(known)}"
            )
        for setting in fields(section):  # type: ignore[arg-type]
            default, value = setting.default, values.get(setting.name, setting.default)
            if not is_alike(value, default):
                raise SettingsError(
                    f"{self.path}: [{name}] {setting.name} is {value!r}; it must be like {default!r}"
                )
        floats = {each.name for each in fields(section) if isinstance(each.default, float)}  # type: ignore[arg-type]
        values = {name: float(value) if name in floats else value for name, value in values.items()}
        try:
            return section(**values)
        except (TypeError, ValueError) as error:
            raise SettingsError(f"{self.path}: [{name}]: {error}") from error

    def _file(self) -> dict[str, Any]:
        if not self.path:
            return {}
        try:
            values = tomllib.loads(Path(self.path).read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{self.path} cannot be read as TOML: {error}") from error
        known = [*SECTIONS, STEPS_SECTION]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise SettingsError(f"{self.path} has no section [{unknown[0]}]; it has: {', '.join(known)}")
        return values

    @property
    def acquisition(self) -> AcquisitionSettings:
        """Which publishers are asked for papers, and on what terms."""
        return self._section("acquisition", AcquisitionSettings)

    @property
    def raster(self) -> RasterSettings:
        """How images are rendered."""
        return self._section("raster", RasterSettings)

    @property
    def pdf(self) -> PdfSettings:
        """How figures are read from PDFs."""
        settings = self._section("pdf", PdfSettings)
        for name, value, known in (
            ("detector", settings.detector, DETECTORS),
            ("mineru_tier", settings.mineru_tier, TIERS),
        ):
            if value not in known:
                raise SettingsError(f"{self.path}: [pdf] {name} is {value!r}; there are: {', '.join(known)}")
        return settings

    @property
    def texts(self) -> TextSettings:
        """Of which images the text is read."""
        return self._section("texts", TextSettings)

    @property
    def filtering(self) -> FilterSettings:
        """Which figures are kept."""
        return self._section("filtering", FilterSettings)

    @property
    def recaptioning(self) -> RecaptionSettings:
        """Who writes the recaptions."""
        return self._section("recaptioning", RecaptionSettings)

    @property
    def vllm(self) -> VllmSettings:
        """How its servers are run."""
        return self._section("vllm", VllmSettings)

    @property
    def metrics(self) -> MetricSettings:
        """What is measured of the recaptions."""
        return self._section("metrics", MetricSettings)

    @property
    def release(self) -> ReleaseSettings:
        """How the release is cut."""
        return self._section("release", ReleaseSettings)

    @property
    def publication(self) -> PublicationSettings:
        """What may go to the Hub although nobody would expect it there."""
        return self._section("publication", PublicationSettings)

    @property
    def checks(self) -> CheckSettings:
        """Where checks warn."""
        return self._section("checks", CheckSettings)

    @property
    def steps(self) -> dict[str, StepSettings]:
        """What each asset's step asks of its machine."""
        values = self._file().get(STEPS_SECTION, {})
        if not isinstance(values, dict):
            raise SettingsError(f"{self.path}: steps must be sections: [steps.recaptions] …")
        try:
            return merged(values)
        except ValueError as error:
            raise SettingsError(f"{self.path}: {error}") from error

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Every setting with its value, by section."""
        sections = {name: asdict(self._section(name, section)) for name, section in SECTIONS.items()}
        return {**sections, STEPS_SECTION: {name: step.as_dict() for name, step in self.steps.items()}}
