"""Networks: features in, predictions out."""
