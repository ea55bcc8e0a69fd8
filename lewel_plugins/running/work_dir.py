"""What the results in a work dir come from, so that nothing goes on from the run of another checkpoint."""

import difflib
from pathlib import Path

from mmengine.config import Config

from lewel_plugins.checkpoints import local_file
from lewel_plugins.errors import SetupError

from .files import read_json, write_json
from .provenance import file_digest

_NOTE = 'inputs.json'
_RESULTS = ('last_checkpoint', 'done')  # what a run goes on from, or is not done again for


def settle_inputs(work_dir: str | Path, cfg: Config, checkpoint: str | None) -> None:
    """Note in a work dir what its run comes from; refuse a folder that has a checkpoint of something else.

    Compared are the checkpoint's contents (not its place), the seed and the config with all that it inherits. The
    contents of data sets are not.

    Args:
        work_dir: Folder of the run, new or to go on in.
        cfg: The run's config; its ``work_dir`` and ``model.checkpoint`` do not count.
        checkpoint: What the run starts from, a file or an address; None for random weights.

    Raises:
        SetupError: Names what differs; or, the folder's run does not tell.
    """
    digest = None if checkpoint is None else file_digest(local_file(checkpoint))
    compared = Config(cfg.to_dict())
    compared.pop('work_dir', None)
    if 'checkpoint' in compared.get('model', {}):
        compared.model.checkpoint = None
    seed = (cfg.get('randomness') or {}).get('seed')
    asked = dict(checkpoint=checkpoint, sha256=digest, seed=seed, config=compared.pretty_text)
    note = Path(work_dir) / _NOTE
    if not any((Path(work_dir) / name).exists() for name in _RESULTS):
        write_json(note, asked)
        return
    before = read_json(note)
    if not isinstance(before, dict):
        raise SetupError(f'{work_dir} holds a run that does not tell what it started from: {_ADVICE}')
    said = []
    if before.get('sha256') != digest:
        said.append(f'checkpoint {before.get("checkpoint")} ({_short(before.get("sha256"))}), not {checkpoint} '
                    f'({_short(digest)})')  # fmt: skip
    if before.get('seed') != seed:
        said.append(f'seed {before.get("seed")}, not {seed}')
    elif before.get('config') != asked['config']:
        lines = difflib.unified_diff(str(before.get('config')).splitlines(), asked['config'].splitlines(), n=0)
        changed = [line for line in lines if line[0] in '-+' and line[:3] not in ('---', '+++')]
        said.append(f'another config ({"; ".join(" ".join(line.split()) for line in changed[:6])})')
    if said:
        raise SetupError(f'{work_dir} holds a run from {", ".join(said)}: {_ADVICE}')


_ADVICE = 'give another --work-dir, or remove the folder to start anew'


def _short(digest: str | None) -> str:
    return f'sha256 {digest[:12]}…' if digest else 'random weights'
