"""Scientific figure-text pairs from open-access papers, as a Dagster asset graph."""
