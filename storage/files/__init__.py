"""Folders and files, local or remote: durable puts, locks and leases."""
