"""Many clips: plan, decode workers, the engine, shards, devices."""
