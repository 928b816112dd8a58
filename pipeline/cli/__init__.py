"""The command ``avvp``: one module per command group, with its implementation in ``*_actions``."""
