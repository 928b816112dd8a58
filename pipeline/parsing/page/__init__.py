"""A parsed video as one offline HTML page."""
