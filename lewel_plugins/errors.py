"""Errors that a user can fix."""


class SetupError(ValueError):
    """A command line or a file that does not allow a run to start. Tools print it without a traceback."""
