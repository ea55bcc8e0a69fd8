"""What stops a step."""

from .sources import error_source


class StepError(RuntimeError):
    """An error in a step that a GPU would raise as well.

    Args:
        error: The error that the step raised.
        hint: What else to know.

    Attributes:
        message: First line of its message.
        source: ``file:line`` of the code that it came from.
        code: That line.
    """

    def __init__(self, error: Exception, hint: str = '') -> None:
        self.message = str(error).strip().split('\n')[0] or type(error).__name__
        self.message += f' ({hint})' if hint else ''
        self.source, self.code = error_source(error)
        super().__init__(f'{self.message} ({self.source}: {self.code})')
