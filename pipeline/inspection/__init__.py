"""Inspection of stores: status, one array, one clip as a page."""
