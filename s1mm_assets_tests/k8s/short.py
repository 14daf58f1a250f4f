"""The product's code location, and one job more: a short one, for tests that disturb it."""

import dagster as dg

from s1mm_assets import definitions

ASSETS = dg.AssetSelection.assets(*definitions.PIPELINE[:2])

defs = dg.Definitions.merge(
    definitions.defs,
    dg.Definitions(jobs=[dg.define_asset_job("to_figure_candidates", ASSETS.without_checks())]),
)
