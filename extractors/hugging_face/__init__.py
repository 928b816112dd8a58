"""Backbones that are models of transformers, by their names on the Hugging Face hub or by a folder."""
