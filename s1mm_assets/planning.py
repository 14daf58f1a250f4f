"""What a backfill will take, before it starts: figures, tokens, GPU hours, disk, bytes from the source.

Every number says where it comes from. What can be counted is; the rest follows from other years of the store, from
the paper's averages, or from an assumption that is named. What nothing is known of has no number.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import polars as pl

from s1mm_assets import figure_texts, recaptioning
from s1mm_assets.archives.arxiv import ChunkFile
from s1mm_assets.partitions import partition_key, source_and_year
from s1mm_assets.recaptioning.budget import estimated_tokens, fitted
from s1mm_assets.recaptioning.prompt import Prompt
from s1mm_assets.recaptioning.request import PIXELS_PER_TOKEN, ImageRefused, model_size
from s1mm_assets.recaptioning.settings import RecaptionSettings
from s1mm_assets.recaptioning.stage import requests_of
from s1mm_assets.reports import ASSETS, partition_keys
from s1mm_assets.resources.captioners.answer_log import logged
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.ledger import Ledger
from s1mm_assets.resources.shard_store import ANSWERS, ShardStore, StoredShard, describe, is_current
from s1mm_assets.resources.shards import Commit, digest_of
from s1mm_assets.resources.sources.arxiv import ArxivSource
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets.resources.table_counts import n_kept, total
from s1mm_assets.stages import Stage
from s1mm_assets.tables import FigureText, schema_of

PAIRS_PER_PAPER = 15.5e6 / 2.5e6  # S1-MMAlign: pairs that were kept, of papers
COMPLETION_TOKENS = 200  # assumed of an answer, where there is none to count
SAMPLE = 200  # figures whose requests are estimated
SAMPLE_SHARDS = 8  # at least, where there are so many
SEED = 0
NEIGHBOURS = 3  # years of the store that others are estimated from, the nearest
GB = 1e9
READINGS = {"arxiv": 3}  # a chunk's digest is taken, its papers are looked at, and later extracted
READINGS_OF_PAPERS = 2

COUNTED = "counted"
THIS_YEAR = "from what is counted of this year"
OTHER_YEARS = "from this store's other years"
PAPER = "from the paper: 15.5 M pairs of 2.5 M papers"
AT_MOST = "counted images, at most: the filters have not decided"
UNKNOWN = "not known: no year of this source in the store tells"
PLAN = pl.Schema(
    {
        "partition": pl.String,
        "quantity": pl.String,
        "value": pl.Float64,
        "unit": pl.String,
        "basis": pl.String,
    }
)
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Amount:
    """A number, and where it comes from; None where nothing is known."""

    value: float | None
    basis: str

    def times(self, factor: float, note: str) -> "Amount":
        """Return a multiple, with what the factor is."""
        return self if self.value is None else Amount(self.value * factor, f"{note}; figures: {self.basis}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What figures are described with."""

    rate: Amount  # figures per second and GPU
    gpus: Amount
    usd_per_gb: Amount  # of what is read from the folder of sources
    fetch_usd_per_gb: Amount  # of what is fetched from the publisher


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedChunk:
    """What a source says of one chunk."""

    name: str
    n_papers: int
    n_bytes: int
    is_there: bool


# --- the source ------------------------------------------------------------------------------------------------


def planned_years(store: ShardStore, sources: Sources, source: str) -> list[int]:
    """Return the years that a source lists, landed or not, or that the store holds.

    Raises:
        SourceError: The source cannot be listed.
    """
    in_store = {year for name, year in map(source_and_year, partition_keys(store)) if name == source}
    listed = {chunk.year for chunk in _manifest(sources)} if source == "arxiv" else set()
    listed |= set(_ledger(sources, source).years())
    return sorted({*sources.of(source).years(), *listed, *in_store})


def listed_chunks(sources: Sources, source: str, year: int) -> list[ListedChunk]:
    """Return what a source lists of one year; also what its publisher offers and has not been landed.

    Raises:
        SourceError: The source cannot be listed.
    """
    client = sources.of(source)
    if source == "arxiv":
        absent = set(client.absent(year))
        return [
            ListedChunk(
                name=chunk.name,
                n_papers=chunk.num_items,
                n_bytes=chunk.size,
                is_there=chunk.name not in absent,
            )
            for chunk in _manifest(sources)
            if chunk.year == year
        ]
    chunks = []
    for chunk in client.chunks(year):
        lengths = [delivery.length for delivery in client.deliveries(chunk.name, year)]
        chunks.append(
            ListedChunk(name=chunk.name, n_papers=len(lengths), n_bytes=sum(lengths), is_there=True)
        )
    ledger = _ledger(sources, source)
    landed = {line.paper_id for line in ledger.record(year).landed.values()}
    listing = ledger.listing(year, ["path", "paper_id", "size", "is_offered"])
    offered = listing.filter("is_offered").drop("is_offered").drop_nulls("paper_id")
    for path, paper_id, size in offered.iter_rows():
        if paper_id not in landed:
            chunks.append(ListedChunk(name=path, n_papers=1, n_bytes=size or 0, is_there=False))
    return chunks


def _ledger(sources: Sources, source: str) -> Ledger:
    return Ledger(Landing(sources.folder(source)))


def _manifest(sources: Sources) -> list[ChunkFile]:
    """Return all chunks that arXiv's manifest lists; nothing where arXiv has no folder."""
    client = sources.of("arxiv")
    return client.listed() if isinstance(client, ArxivSource) else []


# --- the plan --------------------------------------------------------------------------------------------------


def plan(
    store: ShardStore,
    sources: Sources,
    source: str,
    years: Sequence[int],
    *,
    settings: RecaptionSettings,
    stage: Stage | None,
    machines: Machines,
) -> pl.DataFrame:
    """Return quantities by partition, in total, and what was assumed.

    Args:
        store: What has been made so far.
        sources: Where papers come from.
        source: One of them.
        years: The partitions' years.
        settings: What a request holds.
        stage: Of the recaptions as they would be made now; with it, those that are current are not made again.
        machines: What they are made with.

    Raises:
        SourceError: The source cannot be listed.
        StoreError: A shard cannot be read.
    """
    counts = cache(lambda key: counted(store, key))
    keys = partition_keys(store)  # once: it lists every asset
    rows = []
    for year in years:
        key = partition_key(source, year)
        near = _neighbours(keys, key)
        others, chunks = [counts(other) for other in near], listed_chunks(sources, source, year)
        one = _Partition(store, key, counts(key), near, others, chunks)
        rows += one.rows(settings, stage, machines, is_remote="://" in sources.root)
    totals = _totals(rows) if len(years) > 1 else []
    given = {
        "rate": (machines.rate, "figures/s/GPU"),
        "GPUs": (machines.gpus, ""),
        "egress price": (machines.usd_per_gb, "USD/GB"),
        "price of fetching": (machines.fetch_usd_per_gb, "USD/GB"),
    }
    assumed = [("all", name, amount.value, unit, amount.basis) for name, (amount, unit) in given.items()]
    return pl.DataFrame([*rows, *totals, *assumed], schema=PLAN, orient="row")


def _totals(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the sum of each quantity over all partitions; no number where it is not known of one of them."""
    by_name: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        by_name.setdefault(row[1], []).append(row)
    totals = []
    for name, same in by_name.items():
        unknown = [row[0] for row in same if row[2] is None]
        value = None if unknown else sum(row[2] for row in same)
        basis = f"not known of {', '.join(unknown)}" if unknown else "the sum of the above"
        totals.append(("total", name, value, same[0][3], basis))
    return totals


def _neighbours(keys: Sequence[str], key: str) -> list[str]:
    source, year = source_and_year(key)
    others = [other for other in keys if other != key and other.startswith(f"{source}|")]
    return sorted(others, key=lambda other: abs(source_and_year(other)[1] - year))[:NEIGHBOURS]


def counted(store: ShardStore, key: str) -> Counts:
    """Return what the store holds of a partition; what has not been made is left out."""
    handles = {asset: store.pinned(asset, key) for asset in ASSETS}
    found = {"bytes": sum(handle.n_bytes() for handle in handles.values() if handle)}
    if raw := handles["raw_archives"]:
        found["papers"] = raw.n_rows("archives")
    if candidates := handles["figure_candidates"]:
        found |= {"papers read": candidates.n_rows("papers"), "figures": candidates.n_rows("figures")}
        found["images"] = sum(total(store, each, "papers", "n_images") for each in candidates.shards)
        sizes = (total(store, each, "figures", "image_size_bytes") for each in candidates.shards)
        found["image bytes"] = sum(sizes)
    if decisions := handles["filtered_figures"]:
        found["decided"] = decisions.n_rows("decisions")
        found["kept"] = sum(n_kept(store, each, "decisions") for each in decisions.shards)
    if released := handles["hf_release"]:
        found["release bytes"] = released.n_bytes()
    tables = [handles[asset] for asset in ASSETS if asset != "hf_release"]
    if all(tables):
        found["table bytes"] = sum(handle.n_bytes() for handle in tables if handle) - found["image bytes"]
    return found


@dataclass(frozen=True, slots=True)
class _Partition:
    """One partition: what is counted of it, of its neighbours, and what its source lists."""

    store: ShardStore
    key: str
    own: Counts
    near: Sequence[str]  # the neighbours' keys
    others: Sequence[Counts]  # what is counted of them
    chunks: Sequence[ListedChunk]

    def rows(
        self, settings: RecaptionSettings, stage: Stage | None, machines: Machines, *, is_remote: bool
    ) -> list[tuple[Any, ...]]:
        """Return every quantity with its unit."""
        papers = self.papers()
        figures = self.figures(papers)
        kept = self.kept(papers, figures)
        answered, own_tokens = answers(self.store, self.key, stage)
        to_ask = kept
        if kept.value is not None and answered.value:
            to_ask = Amount(max(0.0, kept.value - answered.value), f"{kept.basis}, less those answered")
        rate, gpus = machines.rate, machines.gpus
        seconds = to_ask.times(1 / (rate.value or 1), f"{rate.value:g} figures/s/GPU {rate.basis}")
        found = {
            "papers": (papers, ""),
            "figures": (figures, ""),
            "kept figures": (kept, ""),
            "answered already": (answered, ""),
            "to recaption": (to_ask, ""),
            "prompt tokens": (self.prompt_tokens(to_ask, settings), "tokens"),
            "completion tokens": (self.completion_tokens(to_ask, own_tokens), "tokens"),
            "GPU time": (_scaled(seconds, 1 / 3_600), "h"),
            "wall time": (_scaled(seconds, 1 / 3_600 / (gpus.value or 1)), "h"),
            **self.disk(figures),
            **self.egress(machines, is_remote=is_remote),
        }
        return [(self.key, name, amount.value, unit, amount.basis) for name, (amount, unit) in found.items()]

    # --- figures -------------------------------------------------------------------------------------------

    def papers(self) -> Amount:
        """Rows of raw_archives, and what the source lists beside them."""
        landed = self._shards("raw_archives")
        listed = sum(chunk.n_papers for chunk in self.chunks if chunk.name not in landed)
        if not listed:
            return Amount(self.own.get("papers", 0), COUNTED)
        basis = "listed by the source" if not landed else "counted, and listed by the source"
        return Amount(self.own.get("papers", 0) + listed, basis)

    def figures(self, papers: Amount) -> Amount:
        """Rows of figure_candidates, and so many more per paper that was not read yet."""
        return self._extended("figures", "papers read", papers)

    def kept(self, papers: Amount, figures: Amount) -> Amount:
        """Figures that the filters keep."""
        kept = self._extended("kept", "decided", figures)
        if kept.value is not None:
            return kept
        if "images" in self.own and figures.basis == COUNTED:
            return Amount(self.own["images"], AT_MOST)
        return Amount((papers.value or 0) * PAIRS_PER_PAPER, PAPER)

    def _extended(self, name: str, per: str, whole: Amount) -> Amount:
        """Return what is counted of a quantity, and by its share in something else what is not counted yet."""
        if whole.value is None:
            return whole
        rest = max(0.0, whole.value - self.own.get(per, 0))
        if name in self.own and not rest:
            return Amount(self.own[name], COUNTED)
        for counts, basis in (([self.own], THIS_YEAR), (self.others, OTHER_YEARS)):
            known = [each for each in counts if name in each and each.get(per)]
            if known:
                share = sum(each[name] for each in known) / sum(each[per] for each in known)
                return Amount(self.own.get(name, 0) + rest * share, basis)
        return Amount(None, UNKNOWN)

    # --- tokens --------------------------------------------------------------------------------------------

    def prompt_tokens(self, to_ask: Amount, settings: RecaptionSettings) -> Amount:
        """Of a sample of this partition, else of its nearest neighbour that has figures, else the most there can be."""
        for key in (self.key, *self.near):
            sample = sampled_tokens(self.store, key, settings)
            if sample:
                mean = sum(sample) / len(sample)
                return to_ask.times(mean, f"{mean:,.0f} each, estimated on {len(sample)} figures of {key}")
        most = settings.window_tokens + settings.max_image_tokens
        return to_ask.times(most, f"{most:,} each, the most that the settings let window and image have")

    def completion_tokens(self, to_ask: Amount, own_tokens: Sequence[int]) -> Amount:
        """Of the logged answers of this partition, else of some of its nearest neighbour that has any."""
        samples = ((key, _logged_tokens(self.store, key)) for key in self.near)
        for key, tokens in chain([(self.key, own_tokens)], samples):
            if tokens:
                mean = sum(tokens) / len(tokens)
                return to_ask.times(
                    mean, f"{mean:,.0f} each, the mean of {len(tokens):,} logged answers of {key}"
                )
        return to_ask.times(COMPLETION_TOKENS, f"{COMPLETION_TOKENS} each, assumed: no answer is logged")

    # --- bytes ---------------------------------------------------------------------------------------------

    def disk(self, figures: Amount) -> dict[str, tuple[Amount, str]]:
        """What the partition takes in the store now, and when it is done."""
        found = {"in the store now": (_scaled(Amount(self.own["bytes"], COUNTED), 1 / GB), "GB")}
        for what, name in (
            ("images", "image bytes"),
            ("tables", "table bytes"),
            ("release", "release bytes"),
        ):
            found[f"{what} when done"] = (_scaled(self._extended(name, "figures", figures), 1 / GB), "GB")
        return found

    def egress(self, machines: Machines, *, is_remote: bool) -> dict[str, tuple[Amount, str]]:
        """What is still to be fetched from the source, and its price."""
        to_land = sum(chunk.n_bytes for chunk in self.chunks if not chunk.is_there)
        to_read = Amount(0, "reading a folder costs none")
        if is_remote:
            to_read = self._to_read()
        landing = Amount(to_land, "counted: listed by the source, and not there")
        whole = Amount(sum(chunk.n_bytes for chunk in self.chunks), "counted: listed by the source")
        return {
            "to fetch": (_scaled(landing, 1 / GB), "GB"),
            "cost of fetching": (_cost(landing, machines.fetch_usd_per_gb), "USD"),
            "papers when landed": (_scaled(whole, 1 / GB), "GB"),
            "to read from the bucket": (_scaled(to_read, 1 / GB), "GB"),
            "egress cost": (_cost(to_read, machines.usd_per_gb), "USD"),
        }

    def _to_read(self) -> Amount:
        """Bytes that stages will read from a bucket; chunks more than once."""
        source, _ = source_and_year(self.key)
        readings = READINGS.get(source, READINGS_OF_PAPERS)
        landed, read = self._shards("raw_archives"), self._shards("figure_candidates")
        whole = sum(chunk.n_bytes for chunk in self.chunks if chunk.name not in landed)
        again = sum(chunk.n_bytes for chunk in self.chunks if chunk.name in landed - read)
        return Amount(whole * readings + again, f"counted: each new chunk is read {readings} times")

    def _shards(self, asset: str) -> set[str]:
        handle = self.store.pinned(asset, self.key)
        return {commit.shard for commit in handle.shards} if handle else set()


def _cost(n_bytes: Amount, usd_per_gb: Amount) -> Amount:
    return Amount((n_bytes.value or 0) / GB * (usd_per_gb.value or 0), usd_per_gb.basis)


def _scaled(amount: Amount, factor: float) -> Amount:
    return Amount(None if amount.value is None else amount.value * factor, amount.basis)


# --- what was answered, what is asked --------------------------------------------------------------------------


def answers(store: ShardStore, key: str, stage: Stage | None) -> tuple[Amount, list[int]]:
    """Return how many kept figures are answered already, and the tokens of each logged answer.

    A shard whose recaptions are as `stage` would make them counts whole; of others, the figures in the answer log.
    """
    decisions = store.pinned("filtered_figures", key)
    current = _current(store, stage, key) if stage else set()
    logs = _logs(store, key)
    n_answered = n_committed = 0
    tokens: list[int] = []
    for commit in decisions.shards if decisions else ():
        found = list(logged(store, key, commit.shard)) if commit.shard in logs else []
        tokens += [answer.n_completion_tokens for answer in found if answer.n_completion_tokens is not None]
        if commit.shard in current:
            n_committed += n_kept(store, commit, "decisions")
        elif found:
            n_answered += len(_kept(store, commit) & {answer.figure_id for answer in found})
    where = ["in the answer log, to whatever prompt"] * bool(n_answered)
    where += ["in recaptions that are current"] * bool(n_committed)
    basis = f"{COUNTED} {' and '.join(where)}" if where else COUNTED
    return Amount(n_answered + n_committed, basis), tokens


def _logs(store: ShardStore, key: str) -> set[str]:
    """Return the shards of a partition that have an answer log: listed once, and not shard by shard."""
    from pyarrow import fs as pafs

    folder = pafs.FileSelector(store.path(ANSWERS, *key.split("|")), allow_not_found=True)
    return {info.base_name for info in store.fs.get_file_info(folder)}


def _logged_tokens(store: ShardStore, key: str) -> list[int]:
    """Return the tokens of some logged answers of a partition: of its first shards that hold enough."""
    tokens: list[int] = []
    decisions, logs = store.pinned("filtered_figures", key), _logs(store, key)
    for commit in (each for each in (decisions.shards if decisions else ()) if each.shard in logs):
        counts = (answer.n_completion_tokens for answer in logged(store, key, commit.shard))
        tokens += [count for count in counts if count is not None]
        if len(tokens) >= SAMPLE:
            break
    return tokens


def _kept(store: ShardStore, decisions: Commit) -> set[str]:
    groups = store.scan_shard(decisions, "decisions", ["figure_id", "rejection"])
    return {each for group in groups for each in group.filter(pl.col("rejection").is_null())["figure_id"]}


def _current(store: ShardStore, stage: Stage, key: str) -> set[str]:
    """Return the shards of a partition's recaptions that would not be made again."""
    handles = {asset: store.pinned(asset, key) for asset in (stage.asset, *stage.reads)}
    commits = {
        asset: {commit.shard: commit for commit in (handle.shards if handle else ())}
        for asset, handle in handles.items()
    }
    found = set()
    for shard, commit in commits.pop(stage.asset).items():
        parents = {asset: of_asset[shard] for asset, of_asset in commits.items() if shard in of_asset}
        if len(parents) == len(stage.reads) and is_current(
            commit, digest_of(describe(stage, parents, shard)), stage.environment
        ):
            found.add(shard)
    return found


def sampled_tokens(store: ShardStore, key: str, settings: RecaptionSettings) -> list[int]:
    """Return the estimated prompt tokens, image included, of up to 200 figures; the same at each call."""
    candidates, decisions = store.pinned("figure_candidates", key), store.pinned("filtered_figures", key)
    decided = {commit.shard: commit for commit in (decisions.shards if decisions else ())}
    chance = random.Random(SEED)  # noqa: S311 - a sample, not a secret
    commits = list(candidates.shards if candidates else ())
    chance.shuffle(commits)
    at_most = -(-SAMPLE // max(1, min(SAMPLE_SHARDS, len(commits))))
    tokens: list[int] = []
    for commit in commits:
        sizes = _sizes(store, commit)
        wanted = sizes.keys() & _kept(store, decided[commit.shard]) if commit.shard in decided else sizes
        n = min(len(wanted), at_most, SAMPLE - len(tokens))
        chosen = {figure_id: sizes[figure_id] for figure_id in chance.sample(sorted(wanted), n)}
        texts = _texts(store, decided.get(commit.shard))
        tokens += _tokens_of(store, commit, chosen, settings, figure_texts.lines_by_figure(texts))
        if len(tokens) >= SAMPLE:
            break
    return tokens


def _sizes(store: ShardStore, candidates: Commit) -> dict[str, tuple[int, int]]:
    """Return width and height of every image of a shard, in pixels, by figure."""
    columns = ["figure_id", "width_px", "height_px"]
    groups = store.scan_shard(candidates, "figures", columns)
    rows = (row for group in groups for row in group.drop_nulls().iter_rows())
    return {figure_id: (width, height) for figure_id, width, height in rows}


def _texts(store: ShardStore, decisions: Commit | None) -> pl.DataFrame:
    """Return what was read in the images of a shard; nothing where it was not decided on yet."""
    frames = [schema_of(FigureText).to_frame().select(figure_texts.READ)]
    if decisions:
        frames += store.scan_shard(decisions, "texts", figure_texts.READ)
    return pl.concat(frames)


def _tokens_of(
    store: ShardStore,
    candidates: Commit,
    sizes: Mapping[str, tuple[int, int]],
    settings: RecaptionSettings,
    lines_of: figure_texts.LinesOf,
) -> list[int]:
    """Return the estimated prompt tokens of some figures of a shard; not of those that cannot be sent."""
    prompt = Prompt.load(settings.prompt)
    texts = recaptioning.stage(recaptioning.ContextCaptioner())  # reads no images
    parents = {candidates.asset: candidates}
    reader = StoredShard(store, texts, candidates.partition, candidates.shard, parents)
    tokens = []
    wanted = pl.Series("figure_id", sorted(sizes), dtype=pl.String)
    for request in requests_of(reader, wanted, lines_of):
        window, _ = fitted(request.window, settings.window_tokens)
        try:
            width, height = model_size(sizes[request.figure_id], settings.image)
        except ImageRefused:
            continue
        tokens.append(estimated_tokens(str(prompt.fill(window))) + width * height // PIXELS_PER_TOKEN)
    return tokens
