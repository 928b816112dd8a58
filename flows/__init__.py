"""Prefect flows: a few lines each around plain functions of ``pipeline``."""
