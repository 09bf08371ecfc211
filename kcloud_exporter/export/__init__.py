"""Export: what history knows as files: JSON, CSV, Parquet, Excel and PDF, and reports with charts."""
