"""Printing, progress pace and exit codes, shared by every command."""
