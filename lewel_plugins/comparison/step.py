"""One subprocess of a run."""

from pathlib import Path
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json
from lewel_plugins.running.jobs import Job


class Step:
    """A subprocess of a run, which is done once.

    Args:
        name: ``train``, ``command`` or the name of a post command.
        command: Words of the command line, with placeholders.
        job: Records that the step has succeeded, and the result of a command.
        log: File for what the subprocess prints.
        output: The json file that the subprocess writes; None for a training.
    """

    def __init__(self, name: str, command: tuple[str, ...], job: Job, log: Path, output: Path | None) -> None:
        self.name = name
        self.command = command
        self.job = job
        self.log = log
        self.output = output

    def is_done(self) -> bool:
        """Return whether the step has succeeded."""
        return self.job.is_done()

    def finish(self) -> None:
        """Record that the step has succeeded, with its result.

        Raises:
            SetupError: The command ended without an error but wrote no json object.
        """
        result: Any = None
        if self.output is not None:
            result = read_json(self.output)
            if not isinstance(result, dict):
                raise SetupError(f'{self.name} ended without an error, but {self.output} holds no json object')
        self.job.finish(result)
