"""`s1mm plan`: what a backfill will take."""

import logging
from collections.abc import Sequence

import polars as pl

from s1mm_assets import recaptioning
from s1mm_assets.cli.terminal import UsageError, err, table
from s1mm_assets.definitions import SETTINGS, SOURCES, STORE, VLLM, WORKERS
from s1mm_assets.partitions import SOURCES as SOURCE_NAMES
from s1mm_assets.planning import Amount, Machines, plan, planned_years
from s1mm_assets.resources.captioners.registry import Captioners
from s1mm_assets.resources.publishers.terms import PAID
from s1mm_assets.stages import Stage

RATE = 20.0  # figures per second and GPU, assumed
GPUS = 8  # assumed
USD_PER_GB = 0.09  # assumed of what leaves a bucket


def show(
    source: str,
    years: Sequence[int],
    *,
    rate: float | None,
    gpus: int | None,
    usd_per_gb: float | None,
    as_json: bool,
) -> None:
    """Print the plan of some years of a source; of all that it has where none is given."""
    if source not in SOURCE_NAMES:
        raise UsageError(f"{source} is no source; there are: {', '.join(SOURCE_NAMES)}")
    known = planned_years(STORE, SOURCES, source)
    unknown = sorted(set(years) - set(known))
    if unknown or not known:
        which = f" of {unknown[0]}" if unknown else ""
        has = f"; there are papers of {', '.join(map(str, known))}" if known else ""
        raise UsageError(f"neither {SOURCES.folder(source)} nor the store knows papers{which}{has}")
    found = plan(
        STORE,
        SOURCES,
        source,
        sorted(set(years)) or known,
        settings=SETTINGS.recaptioning,
        stage=stage(),
        machines=machines(source, rate, gpus, usd_per_gb),
    )
    table(found if as_json else shown(found), as_json=as_json, title=f"Plan for {source}")


def stage() -> Stage | None:
    """Return the recaptions' stage, with which current ones are known; none where no model would be asked."""
    if SETTINGS.recaptioning.engine != "vllm":
        err.print(
            "[recaptioning] engine is not vllm, and needs no GPU: what follows is what vllm would take",
            markup=False,
            highlight=False,
        )
        return None
    captioners = Captioners(settings=SETTINGS, servers=VLLM)
    with captioners.opened(STORE, WORKERS.map, logging.getLogger(__name__)) as captioner:
        return recaptioning.stage(captioner)


def machines(source: str, rate: float | None, gpus: int | None, usd_per_gb: float | None) -> Machines:
    """Return what was given, and what is assumed in place of what was not."""
    is_remote = "://" in SOURCES.root
    price = Amount(USD_PER_GB, "assumed, of a bucket") if is_remote else Amount(0.0, "assumed, of a folder")
    fetching = Amount(SETTINGS.acquisition.usd_per_gb, "[acquisition] usd_per_gb")
    return Machines(
        rate=Amount(RATE, "assumed") if rate is None else Amount(rate, "given"),
        gpus=Amount(GPUS, "assumed") if gpus is None else Amount(gpus, "given"),
        usd_per_gb=price if usd_per_gb is None else Amount(usd_per_gb, "given"),
        fetch_usd_per_gb=fetching if source in PAID else Amount(0.0, "this publisher's papers cost nothing"),
    )


def shown(found: pl.DataFrame) -> pl.DataFrame:
    """Return the plan as people read it: numbers with their units, a partition named where it begins."""
    is_first = found["partition"] != found["partition"].shift(1).fill_null("")
    rows = [
        {
            "partition": partition if begins else "",
            "quantity": quantity,
            "value": "?" if value is None else f"{number(value)} {unit}".strip(),
            "where it comes from": basis,
        }
        for (partition, quantity, value, unit, basis), begins in zip(found.iter_rows(), is_first, strict=True)
    ]
    return pl.DataFrame(rows)


def number(value: float) -> str:
    """Return a number with thousands marked; of a small one three digits, of a tiny one its bound."""
    if 0 < value < 0.01:
        return "< 0.01"
    return f"{value:,.0f}" if value >= 1_000 or value == round(value) else f"{value:.3g}"
