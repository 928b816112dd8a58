"""The layout of a store: groups, arrays and their attributes."""
