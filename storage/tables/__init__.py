"""Clip tables from folders, CSVs and JSONL files."""
