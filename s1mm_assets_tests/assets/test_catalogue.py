"""What the UI says of each asset, and what makes partitions anew where that is turned on."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from s1mm_assets import definitions, tables
from s1mm_assets.assets.catalogue import OWNERS, comments, described, rebuilds, table_schema
from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources.settings import Settings
from s1mm_assets.tables import TABLES, FigureCandidate, schema_of

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # conditions, freshness and owners are previews in Dagster 1.13
CHAIN = [
    "landed_papers",
    "raw_archives",
    "figure_candidates",
    "filtered_figures",
    "recaptions",
    "quality_metrics",
]


def specs() -> dict[str, dg.AssetSpec]:
    graph = definitions.defs.resolve_asset_graph()
    return {key.path[-1]: graph.get(key).to_asset_spec() for key in graph.get_all_asset_keys()}


def test_every_asset_has_an_owner_a_group_and_a_description() -> None:
    """A newcomer knows whom to ask; what is made of code has a version."""
    for name, spec in specs().items():
        assert spec.owners == [OWNERS[name]]
        assert spec.group_name in ("pipeline", "publication")
        assert len(spec.description or "") > 40
        assert spec.kinds
        assert spec.code_version or name == "landed_papers"


def test_every_table_shows_its_columns() -> None:
    """Of each asset that has tables, all; the main one where Dagster looks for it."""
    for name, spec in specs().items():
        tables = TABLES.get(name, {})
        shown = [key for key in spec.metadata if key.startswith(("dagster/column_schema", "columns/"))]
        assert len(shown) == len(tables)
        assert ("dagster/column_schema" in shown) == bool(tables)


def test_no_comment_on_a_column_is_lost() -> None:
    """One that the formatter wraps is not found: it is to be shorter."""
    rows = Path(tables.__file__).read_text("utf-8").partition("\nclass Archive:")[2].partition("\ndef ")[0]

    assert sum(map(len, comments().values())) == sum("  # " in line for line in rows.splitlines())


def test_columns_say_what_the_code_says_of_them() -> None:
    """The comment beside a field is its description; names and types are the schema's."""
    columns = {column.name: column for column in table_schema(FigureCandidate).columns}

    assert list(columns) == schema_of(FigureCandidate).names()
    assert columns["figure_id"].description is not None
    assert columns["figure_id"].description.startswith('"arxiv:2001.00001#3.1"')
    assert columns["width_px"].type == "UInt32"
    assert columns["rights"].description == "what the figure's own permissions say, where it has any"


def versions(text: str, folder: Path) -> dict[str, str | None]:
    (folder / "s.toml").write_text(text)
    assets = [definitions.LANDING, *definitions.PIPELINE]
    bare = [
        each.map_asset_specs(
            lambda spec: spec.replace_attributes(
                code_version=(spec.code_version or "").partition("+")[0] or None
            )
        )
        for each in assets
    ]
    found = described(bare, Settings(path=str(folder / "s.toml")))
    return {each.key.path[-1]: each.get_asset_spec().code_version for each in found}


@pytest.mark.parametrize(
    ("text", "touched"),
    [
        ("[filtering]\nmin_image_size_bytes = 6000\n", {"filtered_figures"}),
        ('[recaptioning]\nengine = "vllm"\nmodel_revision = "r"\n', {"recaptions"}),
        ("[raster]\nmax_side_px = 1024\n", {"figure_candidates"}),
        ("[metrics]\nclip_score = true\n", {"quality_metrics"}),
        ('[metrics]\nclip_model = "ViT-L-14"\n', set()),  # it is off
        ('[recaptioning]\nmodel = "other"\n', set()),  # the engine asks no model
        ('[release]\nrepository = "my-lab/figures"\n', set()),
        ('[release]\nlicence_policy = "all"\n', {"hf_release"}),
        ("[checks]\nmin_clip_uplift = 0.5\n[steps.recaptions]\npods = 2\n[vllm]\nmax_restarts = 1\n", set()),
    ],
)
def test_a_changed_setting_makes_outdated_what_it_shapes(
    text: str, touched: set[str], tmp_path: Path
) -> None:
    """And nothing else: what comes after follows when that is made anew."""
    before, after = versions("", tmp_path), versions(text, tmp_path)

    assert {name for name in before if before[name] != after[name]} == touched


def test_a_changed_prompt_makes_recaptions_outdated(tmp_path: Path) -> None:
    """Also where its file keeps its name."""
    template = Path(definitions.__file__).parent / "recaptioning" / "prompts" / "describe-1.jinja"
    file = tmp_path / "own.jinja"
    file.write_text(template.read_text())
    text = f'[recaptioning]\nengine = "vllm"\nmodel_revision = "r"\nprompt = "{file}"\n'
    before = versions(text, tmp_path)
    file.write_text(template.read_text().replace("figure", "picture", 1))

    assert versions(text, tmp_path)["recaptions"] != before["recaptions"]


class Graph:
    """The assets' names, partitions and conditions, without their work."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.cursor: dg.AutomationConditionEvaluationCursor | None = None
        self.versions = dict.fromkeys([*CHAIN, "duplicates", "hf_release"], "1")

    def definitions(self) -> dg.Definitions:
        conditions = rebuilds()

        def asset(
            name: str, *deps: str, partitions: dg.PartitionsDefinition | None = SOURCE_BY_YEAR
        ) -> dg.AssetsDefinition:
            @dg.asset(
                name=name,
                deps=list(deps),
                partitions_def=partitions,
                automation_condition=conditions.get(name),
                code_version=self.versions[name],
            )
            def made() -> None:
                pass

            return made

        chain = [asset(name, *CHAIN[max(i - 1, 0) : i]) for i, name in enumerate(CHAIN)]
        joined = asset("duplicates", "filtered_figures", partitions=None)
        return dg.Definitions([*chain, joined, asset("hf_release", "quality_metrics", "duplicates")])

    def make(self, name: str, key: str | None = "arxiv|2019") -> None:
        asset = self.definitions().resolve_assets_def(name)
        dg.materialize([asset], instance=self.instance, partition_key=key, selection=[name])

    def tick(self) -> dict[str, set[str | None]]:
        result = dg.evaluate_automation_conditions(self.definitions(), self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        wanted: dict[str, set[str | None]] = {}
        for each in result.results:
            if each.true_subset.size:
                subset = each.true_subset
                name = each.key.to_user_string()
                is_one = name == "duplicates"
                wanted[name] = (
                    {None} if is_one else {str(key) for key in subset.expensively_compute_partition_keys()}
                )
        return wanted


@pytest.fixture
def graph() -> Iterator[Graph]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(instance)


def test_new_papers_pass_through_the_graph(graph: Graph) -> None:
    """What landed is read, and what follows in the same run; then duplicates are sought. The release is for people."""
    assert graph.tick() == {}
    graph.make("landed_papers")
    assert graph.tick() == {name: {"arxiv|2019"} for name in CHAIN[1:]}
    for name in CHAIN[1:]:
        graph.make(name)
    assert graph.tick() == {"duplicates": {None}}
    graph.make("duplicates", None)
    assert graph.tick() == {}
    assert graph.tick() == {}


def test_other_code_makes_anew_what_there_is(graph: Graph) -> None:
    """Not what nobody has made yet: hundreds of partitions without a paper."""
    for name in CHAIN:
        graph.make(name)
    for _ in range(2):
        graph.tick()
    graph.versions["recaptions"] = "2"

    assert graph.tick().get("recaptions") == {"arxiv|2019"}


def test_no_release_is_made_by_itself(graph: Graph) -> None:
    """Nor anything that others see."""
    assert set(rebuilds()) == {*CHAIN[1:], "duplicates"}
