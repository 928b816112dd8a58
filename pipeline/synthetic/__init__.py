"""Made-up clips and features in the shape of LLP."""
