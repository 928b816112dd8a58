"""The feature store: clip tables, schema, ledger, readers and writers. Imports neither torch nor Prefect."""
