"""Fine-tune a detector or a segmenter on a user's own labels: from the labels to a plan and a config."""

from .facts import FinetuneFacts, LabelFacts, Start
from .labels import Box, LabeledImage, Labels
from .plan import LIBRARIES, TASKS, plan
from .recognition import read_labels

__all__ = [
    'LIBRARIES',
    'TASKS',
    'Box',
    'FinetuneFacts',
    'LabelFacts',
    'LabeledImage',
    'Labels',
    'Start',
    'plan',
    'read_labels',
]
