"""Errors that a user can mend."""


class SetupError(ValueError):
    """A command line or a file that a run can't start from. Tools print it without a traceback."""
