"""Recipes: everything a training run depends on, read from TOML and checked."""
