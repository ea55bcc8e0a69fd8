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
        select: Entry of that file, names joined by ``/``, that is the result of the step; all of it by default.
    """

    def __init__(
        self, name: str, command: tuple[str, ...], job: Job, log: Path, output: Path | None, select: str = ''
    ) -> None:
        self.name = name
        self.command = command
        self.job = job
        self.log = log
        self.output = output
        self.select = select

    def is_done(self) -> bool:
        """Return whether the step has succeeded."""
        return self.job.is_done()

    def finish(self) -> None:
        """Record that the step has succeeded, with its result.

        Raises:
            SetupError: The command ended without an error but wrote no json object, or one without the entry.
        """
        result: Any = None
        if self.output is not None:
            result = read_json(self.output)
            if not isinstance(result, dict):
                raise SetupError(f'{self.name} ended without an error, but {self.output} holds no json object')
            self._entry(result)
        self.job.finish(result)

    def result(self) -> dict:
        """Return the result of a command that has succeeded.

        Raises:
            SetupError: It has no such entry.
        """
        return self._entry(self.job.result())

    def _entry(self, result: dict) -> dict:
        for name in filter(None, self.select.split('/')):
            if not isinstance(result.get(name), dict):
                raise SetupError(f'{self.name}: {self.output} has no {self.select!r}')
            result = result[name]
        return result
