"""Small stages that the store's tests run, also in processes that are killed."""

import hashlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import Decision, FigureText, Measure, ReleaseFile, ReleaseRecord, frame_of

PARTITION = "arxiv|2019"
SHARDS = ("chunk_001", "chunk_002", "chunk_003")


def measures(
    shards: Mapping[str, int] | None = None,
    *,
    version: str = "1",
    ink: float = 0.5,
    colours: int = 7,
    pause_s: float = 0.0,
    environment: Mapping[str, str] | None = None,
) -> Stage:
    """A stage without inputs: each shard has the number of rows given, `ink` and `colours` in two columns."""
    n_rows = shards or dict.fromkeys(SHARDS, 10)

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        for i in range(n_rows[reader.shard]):
            row = Measure(
                figure_id=f"arxiv:{reader.shard}#{i + 1}.1",
                perceptual_hash=i,
                ink_share=ink,
                n_colours=colours,
                table_score=None,
                rejection=None,
                evidence=None,
            )
            writer.write("measures", frame_of(Measure, [row]))
            time.sleep(pause_s)
        for component in environment or {}:
            writer.used(component)

    return Stage(
        asset="figure_measures",
        version=version,
        tables={"measures": Measure},
        make=make,
        settings={"ink": ink, "colours": colours},
        environment=environment or {},
        shard_inputs=lambda shard: {"rows": str(n_rows[shard])},
    )


def decisions(*, threshold: float = 0.1, pause_s: float = 0.0, made: list[str] | None = None) -> Stage:
    """A stage that reads one column of `measures`, and appends each shard that it makes to `made`."""

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        for group in reader.scan("figure_measures", "measures"):
            rows = [decision(figure_id, ink, threshold) for figure_id, ink in group.iter_rows()]
            writer.write("decisions", frame_of(Decision, rows))
        time.sleep(pause_s)
        if made is not None:
            made.append(reader.shard)

    return Stage(
        asset="filtered_figures",
        version="1",
        tables={"decisions": Decision, "texts": FigureText},
        make=make,
        reads={"figure_measures": {"measures": ("figure_id", "ink_share")}},
        settings={"threshold": threshold},
    )


def decision(figure_id: str, ink: float, threshold: float) -> Decision:
    """One decision of the stage above."""
    return Decision(
        figure_id=figure_id,
        paper_id=figure_id.partition("#")[0],
        rejection="blank" if ink < threshold else None,
        measured="ink_share",
        measured_value=ink,
        threshold=threshold,
        evidence=None,
        duplicate_of=None,
        sha256=None,
        perceptual_hash=None,
        image_size_bytes=None,
        source_size_bytes=None,
    )


def pieces() -> Stage:
    """A stage that writes an additional file per shard."""

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        names = reader.read("filtered_figures", "decisions")["figure_id"].to_list()
        with writer.file("images.tar.gz") as stream:
            stream.write("\n".join(names).encode())
        writer.write("records", frame_of(ReleaseRecord, []))

    return Stage(
        asset="hf_release",
        version="1",
        tables={"records": ReleaseRecord, "files": ReleaseFile},
        make=make,
        reads={"filtered_figures": {"decisions": ("figure_id",)}},
    )


def run_all(store: ShardStore, pause_s: float = 0.0) -> str:
    """Run the three stages and return the digest of the last."""
    first = store.derive(measures(pause_s=pause_s), PARTITION, shards=SHARDS)
    store.pin(first)
    second = store.derive(decisions(pause_s=pause_s), PARTITION, inputs=[first])
    store.pin(second)
    third = store.derive(pieces(), PARTITION, inputs=[second])
    store.pin(third)
    return third.digest()


def tree(root: Path) -> dict[str, str]:
    """Every file of a store with its digest, but for journals, which hold clocks."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "journal.json" and ".staging" not in path.parts
    }


if __name__ == "__main__":
    print(run_all(ShardStore(uri=sys.argv[1]), pause_s=float(sys.argv[2])), flush=True)
