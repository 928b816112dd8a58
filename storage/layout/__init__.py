"""What lies where in a store: groups, arrays and their attributes."""
