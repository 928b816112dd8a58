"""From clips to features, labels, trained parsers and scores."""
