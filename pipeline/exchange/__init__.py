"""Import, export, merge and subset, verify and repair."""
