"""Every error that is the user's to mend. The command line prints one line for each and exits with 2."""


class AvvpError(Exception):
    """A problem that the message explains in one line: where, expected, got, what to do."""


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
    """Another process is writing this shard now."""


class BackboneBroken(AvvpError):
    """A backbone or its device fails whatever it is given. No user's mistake: the command line exits with 1."""
