"""Errors that users can fix. The command line prints one line for each and exits with code 2."""


class AvvpError(Exception):
    """A problem that its message explains in one line: where, what was expected, what came, what to do."""


class InvalidInput(AvvpError):
    """An argument, a file or a folder that cannot be used."""


class ClipTableError(InvalidInput):
    """A clip table that is malformed, empty or has duplicates."""


class UnknownBackbone(InvalidInput):
    """A backbone name that the registry lacks."""


class WeightsError(InvalidInput):
    """Weights that are absent, damaged or do not fit the network."""


class SchemaMismatch(AvvpError):
    """A store whose schema, clip table, spec or provenance differs from what was asked."""


class StoreError(AvvpError):
    """A store that is absent, unreadable or damaged."""


class ShardLocked(StoreError):
    """Another process is writing this shard."""


class BackboneBroken(AvvpError):
    """A backbone or its device fails on every input. Not the user's mistake: the command line exits with code 1."""
