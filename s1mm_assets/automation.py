"""What starts by itself, once somebody turns it on: asking for new papers, making anew what became outdated, alerts.

A monthly schedule and a daily sensor ask for papers. Both speak of the publishers that the settings name, and request
the job `land`: the sensor for the partitions that something new was offered of, the schedule for the year of the last
month. What comes after raw_archives is for people to start, or for the sensor `stale_partitions`, by the conditions in
assets/catalogue.
"""

import json
import os
from collections.abc import Iterator
from datetime import date, timedelta
from time import monotonic

import dagster as dg

from s1mm_assets.partitions import YEARS, partition_key
from s1mm_assets.resources.alerts import Alerts
from s1mm_assets.resources.publishers import NotOfferedError, PublisherError
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.ledger import Ledger
from s1mm_assets.resources.publishers.patience import Patience
from s1mm_assets.resources.publishers.registry import Publishers, today
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.sources.registry import Sources

JOB = "land"
FIRST_LOOK_DAYS = 31  # how far back a sensor without a cursor looks
LAG_DAYS = 7  # a paper is in the lists before its package is in the bucket
LOOK_S = 30.0  # of one tick; Dagster ends it after a minute, and the next goes on where this one was
DAYS_AT_ONCE = {"arxiv": 10_000, "medrxiv": 3, "chemrxiv": 7, "nature_communications": 31}
"""What a publisher is asked about by few requests; of others a day."""
TAGS = {
    "s1mm/asked_by": "new papers",
    "dagster/max_retries": "3",
    "dagster/retry_on_asset_or_op_failure": "true",
}  # what is not landed now is not noticed again
QUICK = Patience(attempts=3, wait_s=1.0, max_wait_s=5.0, max_retry_after_s=10.0)


@dg.sensor(
    job_name=JOB,
    minimum_interval_seconds=3600,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Asks day by day which years got new papers, and lands those. Off until turned on.",
)
def new_papers(
    context: dg.SensorEvaluationContext, sources: Sources, publishers: Publishers, settings: Settings
) -> dg.SensorResult:
    """Request the partitions that something new was offered of, a day of each publisher at a time.

    Years that nobody has listed yet are nobody's wish: only those that were, and the present one, are asked for.
    """
    seen: dict[str, str] = json.loads(context.cursor or "{}")
    touched: set[str] = set()
    today_, end = today(), monotonic() + LOOK_S
    last = today_ - timedelta(days=LAG_DAYS)
    waiting = list(settings.acquisition.publishers)
    while waiting and monotonic() < end:
        source = waiting.pop(0)  # in turn, so that a slow one does not starve the others
        seen_until = seen.get(source) or str(last - timedelta(days=FIRST_LOOK_DAYS))
        day = date.fromisoformat(seen_until) + timedelta(days=1)
        if day > last:
            continue
        try:
            client = publishers.client(
                source, folder=sources.folder(source), terms=settings.acquisition, patience=QUICK
            )
            until = min(last, day + timedelta(days=DAYS_AT_ONCE.get(source, 1) - 1))
            years = client.touched(day, until)
        except (PublisherError, NotOfferedError) as error:
            context.log.warning("%s could not be asked what is new: %s", source, error)
            continue
        wanted = {*Ledger(Landing(sources.folder(source))).years(), last.year} & set(YEARS)
        touched |= {partition_key(source, year) for year in years & wanted}
        seen[source] = str(until)
        waiting.append(source)
    requests = [run_request(key, today_) for key in sorted(touched)]
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(seen, sort_keys=True))


@dg.schedule(
    job_name=JOB,
    cron_schedule="0 6 5 * *",  # arXiv's chunks of a month are there a few days into the next
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="On the fifth of a month, lands the year that the last month was in. Off until turned on.",
)
def monthly_papers(context: dg.ScheduleEvaluationContext, settings: Settings) -> Iterator[dg.RunRequest]:
    """Request last month's year of each publisher. News of other years are the sensor's business."""
    day = context.scheduled_execution_time.date()
    year = (day.replace(day=1) - timedelta(days=1)).year
    for source in settings.acquisition.publishers:
        yield run_request(partition_key(source, year), day)


def run_request(key: str, day: date) -> dg.RunRequest:
    """Return the request of one partition's landing; one a day."""
    return dg.RunRequest(run_key=f"{key} {day}", partition_key=key, tags=TAGS)


stale_partitions = dg.AutomationConditionSensorDefinition(
    "stale_partitions",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Makes anew what a new chunk, other code or a changed setting made outdated, up to the metrics and the "
    "duplicates; recaptions may cost GPU hours. Off until turned on. It notices what changes while it is on: turn it "
    "on before an upgrade, or backfill what the UI shows as outdated. Releases and what follows stay with people.",
)


@dg.run_failure_sensor(
    name="alert_on_failure",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING
    if os.environ.get("S1MM_ALERT_WEBHOOK")
    else dg.DefaultSensorStatus.STOPPED,
    description="Posts each failed run to S1MM_ALERT_WEBHOOK: partition, steps, checks, errors. On where that is set.",
)
def alert_on_failure(context: dg.RunFailureSensorContext, alerts: Alerts) -> None:
    """Say what failed, where, and how it is looked at."""
    run = context.dagster_run
    partition = run.tags.get("dagster/partition", "no partition")
    steps = {event.step_key or "": first_words(event) for event in context.get_step_failure_events()}
    lines = [f"{run.job_name} failed for {partition}: {context.failure_event.message or ''}"]
    lines += [f"{step}: {words}" for step, words in steps.items()]
    if page := os.environ.get("S1MM_UI_URL", "").rstrip("/"):
        lines.append(f"{page}/runs/{run.run_id}")
    facts = {"run_id": run.run_id, "job": run.job_name, "partition": partition, "steps": steps}
    alerts.send("\n".join(lines), facts)


def first_words(event: dg.DagsterEvent) -> str:
    """Return the error of a failed step in its own words."""
    error = event.step_failure_data.error
    return ((error.cause or error).message if error else event.message or "").strip()[:500]
