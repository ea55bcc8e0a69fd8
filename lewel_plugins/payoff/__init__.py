"""Does pretraining pay on these images? The arms, the tasks, the statistics and the answer of ``lewel worth``.

``statistics`` and ``verdicts`` are pure: from paired differences to a sentence. ``labels``, ``groups`` and ``splits``
turn what the user names into training and test images without leakage. ``design`` lists what is measured, and ``cost``
how long it takes. ``networks``, ``measures`` and ``finetuning`` measure one cell each, and ``protocol`` runs them all.
``page`` writes the answer.
"""
