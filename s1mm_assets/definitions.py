"""The whole pipeline, assembled. Environment variables say where things are; README.md lists them."""

import os
import shlex

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from s1mm_assets import automation
from s1mm_assets.assets import catalogue
from s1mm_assets.assets.duplicates import duplicates
from s1mm_assets.assets.figure_candidates import figure_candidates
from s1mm_assets.assets.filtered_figures import filtered_figures
from s1mm_assets.assets.hf_publication import hf_publication
from s1mm_assets.assets.hf_release import hf_release
from s1mm_assets.assets.hub_repository import hub_repository
from s1mm_assets.assets.landed_papers import landed_papers
from s1mm_assets.assets.quality_metrics import quality_metrics
from s1mm_assets.assets.raw_archives import raw_archives
from s1mm_assets.assets.recaptions import recaptions
from s1mm_assets.checks.duplicates import duplicates_hold
from s1mm_assets.checks.figure_candidates import figure_candidates_hold
from s1mm_assets.checks.filtered_figures import filtered_figures_hold
from s1mm_assets.checks.hf_publication import hf_publication_holds
from s1mm_assets.checks.hf_release import hf_release_holds
from s1mm_assets.checks.quality_metrics import quality_metrics_hold
from s1mm_assets.checks.raw_archives import raw_archives_hold
from s1mm_assets.checks.recaptions import recaptions_hold
from s1mm_assets.executors import executor
from s1mm_assets.resources.alerts import Alerts
from s1mm_assets.resources.captioners.registry import Captioners, VllmServers, server_addresses
from s1mm_assets.resources.clip_encoder import ClipEncoders
from s1mm_assets.resources.layout_detector import LayoutDetectors
from s1mm_assets.resources.masked_language_model import MaskedLanguageModels
from s1mm_assets.resources.publishers.registry import Publishers
from s1mm_assets.resources.release_bucket import release_place
from s1mm_assets.resources.renderers import Renderers
from s1mm_assets.resources.settings import Settings, SettingsError
from s1mm_assets.resources.shard_io import ShardSetIOManager
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets.resources.worker_pool import WorkerPool


def number_from(variable: str, *, default: int) -> int:
    """Return an environment variable's whole number."""
    text = os.environ.get(variable, str(default))
    if not text.isdigit():
        raise SettingsError(f"{variable} is {text!r}; it must be a whole number")
    return int(text)


def words_from(variable: str, *, default: str) -> list[str]:
    """Return an environment variable's words, as a shell parts them; of an empty one the default's."""
    text = os.environ.get(variable, "")
    try:
        return shlex.split(text) or shlex.split(default)
    except ValueError as error:
        raise SettingsError(f"{variable} is {text!r}; as a command it has {error}") from error


def job(name: str, description: str, *assets: dg.AssetsDefinition) -> UnresolvedAssetJobDefinition:
    """Return a job of some assets and their checks."""
    return dg.define_asset_job(name, dg.AssetSelection.assets(*assets), description=description)


SETTINGS = Settings(path=os.environ.get("S1MM_SETTINGS", ""))
STORE = ShardStore(uri=os.environ.get("S1MM_STORE", "var/store"))
SOURCES = Sources(root=os.environ.get("S1MM_SOURCES", "var/sources"))
PUBLISHERS = Publishers(mirror=os.environ.get("S1MM_PUBLISHERS", ""))
RELEASE = release_place(os.environ.get("S1MM_RELEASE", "var/release"))
WORKERS = WorkerPool(n_workers=number_from("S1MM_WORKERS", default=0))
RENDERERS = Renderers()
LAYOUT = LayoutDetectors(
    mineru_folder=os.environ.get("S1MM_MINERU_FOLDER", "var/mineru"),
    mineru=os.environ.get("S1MM_MINERU", "mineru-kit"),
    magic_pdf=os.environ.get("S1MM_MAGIC_PDF", "magic-pdf"),
)
DEVICE = os.environ.get("S1MM_DEVICE", "cpu")  # explicit: on GPUs that vLLM has filled there is no room
MASKED_LANGUAGE_MODELS = MaskedLanguageModels(device=DEVICE)
CLIP_ENCODERS = ClipEncoders(device=DEVICE)
VLLM = VllmServers(
    urls=server_addresses(os.environ.get("S1MM_VLLM_URLS", "")),
    api_key=os.environ.get("S1MM_VLLM_API_KEY", "").strip(),  # of a file it may bring the line's end
    gpus=number_from("S1MM_VLLM_GPUS", default=0),
    command=words_from("S1MM_VLLM", default="vllm serve"),
)

LANDING, *PIPELINE, DUPLICATES, PUBLICATION, UPLOAD = catalogue.described(
    [
        landed_papers,
        raw_archives,
        figure_candidates,
        filtered_figures,
        recaptions,
        quality_metrics,
        hf_release,
        duplicates,
        hf_publication,
        hub_repository,
    ],
    SETTINGS,
)
CHECKS = [
    raw_archives_hold,
    figure_candidates_hold,
    filtered_figures_hold,
    recaptions_hold,
    quality_metrics_hold,
    duplicates_hold,
    hf_release_holds,
    hf_publication_holds,
]

defs = dg.Definitions(
    assets=[LANDING, *PIPELINE, DUPLICATES, PUBLICATION, UPLOAD],
    asset_checks=CHECKS,
    resources={
        "settings": SETTINGS,
        "store": STORE,
        "shards": ShardSetIOManager(store=STORE),
        "sources": SOURCES,
        "publishers": PUBLISHERS,
        "workers": WORKERS,
        "renderers": RENDERERS,
        "layout": LAYOUT,
        "masked_language_models": MASKED_LANGUAGE_MODELS,
        "clip_encoders": CLIP_ENCODERS,
        "captioners": Captioners(settings=SETTINGS, servers=VLLM),
        "release_folder": RELEASE,
        "alerts": Alerts(
            webhook=dg.EnvVar("S1MM_ALERT_WEBHOOK")
        ),  # a secret: the UI shows the variable's name
    },
    executor=executor(os.environ),
    sensors=[automation.new_papers, automation.stale_partitions, automation.alert_on_failure],
    schedules=[automation.monthly_papers],
    jobs=[  # none may have the name of an asset
        job(
            automation.JOB,
            "Fetches a partition's papers from their publisher, and looks at them.",
            LANDING,
            PIPELINE[0],
        ),
        job(
            "one_partition",
            "One partition end to end: landing, every stage, its duplicates, its part of the release.",
            *(LANDING, *PIPELINE, DUPLICATES),
        ),
        job(
            "to_quality_metrics",
            "Partitions up to their metrics; of many, backfill this, then find_duplicates, then release_partition.",
            *(LANDING, *PIPELINE[:-1]),
        ),
        job(
            "from_recaptions",
            "A partition from its recaptions on: after a change of model, prompt or settings.",
            *(*PIPELINE[3:], DUPLICATES),
        ),
        job(
            "find_duplicates", "Seeks figures that several partitions keep; once for all of them.", DUPLICATES
        ),
        job("release_partition", "Cuts a partition's part of the release anew.", PIPELINE[-1]),
        job(
            "publication", "Assembles every released partition to the release, and verifies it.", PUBLICATION
        ),
        job("upload", "Sends the release to the Hugging Face Hub, and verifies it there.", UPLOAD),
    ],
)
