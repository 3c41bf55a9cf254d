"""DuckDB: reads sources into canonical Parquet and compiles point-in-time training sets."""
