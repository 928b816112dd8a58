"""The command ``avvp``: a module a command group, and what each command does in ``*_actions``."""
