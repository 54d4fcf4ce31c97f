"""What runs in a query's own process: DuckDB and the standard library, nothing else of the local AWS."""
