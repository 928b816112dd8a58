"""A parsed video as text: one module for each family of formats."""
