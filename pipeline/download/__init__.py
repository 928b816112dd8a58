"""Downloads of a table's clips."""
