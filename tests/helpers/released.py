"""What holds for all weights that come with the package."""

import hashlib
import re
from pathlib import Path

import torch
from mmengine.registry import MODELS

from lewel_plugins.checkpoints import load_pretrained, read_tensors

ROOT = Path(__file__).resolve().parents[2]
MAX_BYTES = 2_000_000


def images(size: int) -> torch.Tensor:
    """Return four uint8 images (4, 3, size, size), the same in each call."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def check_release(file: Path) -> None:
    """Check the weights in a file and their card.

    Raises:
        AssertionError: They break a rule.
    """
    content = file.read_bytes()
    card = file.with_suffix('.md').read_text(encoding='utf-8')
    assert len(content) <= MAX_BYTES
    digest = re.search(r'^\| SHA-256 \| `(\w{64})` \|$', card, re.MULTILINE)
    assert digest and digest.group(1) == hashlib.sha256(content).hexdigest(), f'the card of {file} has another SHA-256'
    recipe = re.search(r'^\| recipe \| `(configs/\S+\.py)` \|$', card, re.MULTILINE)
    assert recipe and (ROOT / recipe.group(1)).is_file(), f'the card of {file} names no recipe that exists'
    for heading in ('Use', 'Figures', 'Training', 'Input', 'Data', 'File'):
        assert f'\n## {heading}\n' in card
    assert f"lewel_plugins.load_pretrained('{file.stem}')" in card

    backbone = load_pretrained(file)
    assert not any(module.training for module in backbone.modules())
    checkpoint = read_tensors(file)
    rebuilt = MODELS.build(checkpoint['meta']['backbone'])
    rebuilt.load_state_dict({name.removeprefix('backbone.'): t for name, t in checkpoint['state_dict'].items()})
    rebuilt.eval()
    preprocessor = checkpoint['meta']['data_preprocessor']
    mean, std = (torch.tensor(preprocessor[name]).view(3, 1, 1) for name in ('mean', 'std'))
    x = images(backbone.preprocess.size)
    features = backbone(backbone.preprocess(x))[-1]
    assert torch.equal(features, rebuilt((x.float() - mean) / std)[-1])
    assert features.std() > 0 and features.isfinite().all()
