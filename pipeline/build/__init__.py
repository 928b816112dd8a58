"""What builds a store: decode, extraction, labels, import and export, checks."""
