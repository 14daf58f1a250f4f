"""What deploy/ holds is what Kubernetes, Dagster and this project take."""
