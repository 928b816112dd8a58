"""Looking into a store: its status, one array, one clip as a page."""
