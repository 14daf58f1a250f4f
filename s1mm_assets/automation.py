"""What asks by itself for new papers: a monthly schedule and a daily sensor, both off until somebody turns them on.

Both ask the publishers that the settings name for the years in which something new was offered, and request the job
`land` for those partitions alone. What comes after raw_archives is for people, or for automation conditions, to start.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import date, timedelta

import dagster as dg

from s1mm_assets.partitions import YEARS, partition_key
from s1mm_assets.resources.publishers import NotOfferedError, PublisherError
from s1mm_assets.resources.publishers.patience import Patience
from s1mm_assets.resources.publishers.registry import Publishers, today
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.sources.registry import Sources

JOB = "land"
FIRST_LOOK_DAYS = 31  # how far back a sensor without a cursor looks
OVERLAP_DAYS = 2  # publishers post late
MONTH_DAYS = 35
QUICK = Patience(
    attempts=3, wait_s=1.0, max_wait_s=5.0, max_retry_after_s=10.0
)  # Dagster ends a tick after a minute


@dg.sensor(
    job_name=JOB,
    minimum_interval_seconds=24 * 3600,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Asks daily which years got new papers, and lands those. Off until turned on.",
)
def new_papers(
    context: dg.SensorEvaluationContext, sources: Sources, publishers: Publishers, settings: Settings
) -> dg.SensorResult:
    """Request the partitions that something new was offered of since the last look."""
    seen: dict[str, str] = json.loads(context.cursor or "{}")
    requests = []
    day = today()
    for source in settings.acquisition.publishers:
        since = date.fromisoformat(seen.get(source, str(day - timedelta(days=FIRST_LOOK_DAYS))))
        years = touched(
            source, since, sources=sources, publishers=publishers, settings=settings, log=context.log
        )
        if years is not None:
            requests += [run_request(source, year, day) for year in sorted(years)]
            seen[source] = str(day - timedelta(days=OVERLAP_DAYS))
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(seen, sort_keys=True))


@dg.schedule(
    job_name=JOB,
    cron_schedule="0 6 5 * *",  # arXiv's chunks of a month are there a few days into the next
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="On the fifth of a month, lands the years that the last one brought papers of. Off until turned on.",
)
def monthly_papers(
    context: dg.ScheduleEvaluationContext, sources: Sources, publishers: Publishers, settings: Settings
) -> Iterator[dg.RunRequest]:
    """Request the partitions that something new was offered of in the last month."""
    day = today()
    for source in settings.acquisition.publishers:
        since = day - timedelta(days=MONTH_DAYS)
        years = touched(
            source, since, sources=sources, publishers=publishers, settings=settings, log=context.log
        )
        for year in sorted(years if years is not None else {day.year}):
            yield run_request(source, year, day)


def touched(
    source: str,
    since: date,
    *,
    sources: Sources,
    publishers: Publishers,
    settings: Settings,
    log: logging.Logger,
) -> set[int] | None:
    """Return the years of which a publisher offers something new; None where it could not be asked."""
    try:
        client = publishers.client(
            source, folder=sources.folder(source), terms=settings.acquisition, patience=QUICK
        )
        return {year for year in client.touched(since) if year in YEARS}
    except (PublisherError, NotOfferedError) as error:
        log.warning("%s could not be asked what is new: %s", source, error)
        return None


def run_request(source: str, year: int, day: date) -> dg.RunRequest:
    """Return the request of one partition's landing; one a day."""
    key = partition_key(source, year)
    tags: Mapping[str, str] = {"s1mm/asked_by": "new papers"}
    return dg.RunRequest(run_key=f"{key} {day}", partition_key=key, tags=dict(tags))
