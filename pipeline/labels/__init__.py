"""Label embeddings and pseudo labels."""
