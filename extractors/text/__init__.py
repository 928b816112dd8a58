"""Text embedders, a file each, and their registry."""
