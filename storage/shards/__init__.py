"""One shard in and out: codec, direct reader and seals."""
