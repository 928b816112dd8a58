"""A long-lived worker process for each device, and what hands shards to them."""
