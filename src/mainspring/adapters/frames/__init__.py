"""Tables between steps: Parquet through DuckDB."""
