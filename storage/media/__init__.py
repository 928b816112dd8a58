"""Media files that are no files of their own on this machine: objects in buckets, and members of tars."""
