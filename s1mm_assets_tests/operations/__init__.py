"""The graph as it is operated: services of its own, a real PostgreSQL, a real browser."""
