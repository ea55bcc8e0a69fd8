"""What a draw of the images is like once it is decoded: broken files, gray images, images that are almost black."""

from collections.abc import Mapping

from lewel_plugins.image_files.inspection import Inspection

from .findings import Finding, percent, plural, show, wilson_interval

LIMIT = 0.01  # share of broken files up to which they are left out
_LEAST_GRAY = 0.01


def broken_findings(
    reasons: Mapping[str, str],
    tried: int,
    total: int,
    further: Mapping[str, str] | None = None,
    listed: str = 'broken_images.txt',
) -> list[Finding]:
    """Describe broken files: left out if there are few, an error otherwise.

    Args:
        reasons: Broken ones among those that were tried, with the reason.
        tried: Number of files that were drawn and decoded.
        total: Number of files of which they were drawn.
        further: Files that are known to be broken though they were not drawn, as by their header, with the reason.
        listed: File in the folder of the run that lists them.
    """
    known = {**(further or {}), **reasons}
    files = tuple(sorted(known))
    low, high = wilson_interval(len(reasons), tried, total)
    if not files:
        bound = f'0 of {tried:,} broken: at most {percent(high)}'
        text = bound if tried else 'no image was decoded: the time was too short'
        return [] if tried >= total else [Finding('note', 'broken', text)]
    share = len(known) / total  # at least
    if max(low, share) > LIMIT:
        return [Finding('error', 'broken', _too_many(known, len(reasons), tried, total), files)]
    verb = 'is' if len(files) == 1 else 'are'
    what = f'cannot be decoded and {verb} left out ({listed})'
    if tried >= total:
        return [Finding('warning', 'broken', f'{len(files):,} of {total:,} files {what}', files)]
    draw = f'{len(reasons):,} of {tried:,} tried are broken: {percent(max(low, share))} to {percent(high)} of all'
    return [Finding('warning', 'broken', f'{plural(len(files), "file")} {what}; {draw} {total:,}', files)]


def _too_many(known: Mapping[str, str], count: int, tried: int, total: int) -> str:
    """Return the text for too many broken files: all that are known, or those of the draw if only it is too bad."""
    path = min(known)
    first = f'the first is {show(path)}: {known[path]}'
    if len(known) == total:
        return f'none of the {total:,} files can be decoded; {first}'
    if count == tried > 0:
        return f'none of the {tried:,} files tried can be decoded; {first}'
    least = '' if tried >= total else 'at least '
    if len(known) / total > LIMIT:
        text = f'{least}{len(known):,} of {total:,} files ({percent(len(known) / total)})'
    else:
        text = f'{count:,} of {tried:,} files tried ({percent(count / tried)})'
    return f'{text} cannot be decoded, more than {LIMIT:.0%}; {first}'


def pixel_findings(inspections: Mapping[str, Inspection], total: int) -> list[Finding]:
    """Describe the pixels of the images that were decoded: gray ones, and 16-bit ones that are almost black."""
    decoded = {path: inspection for path, inspection in inspections.items() if not inspection.reason}
    tried = len(inspections)
    findings = []
    gray = [path for path, inspection in decoded.items() if inspection.is_gray]
    if decoded and len(gray) >= _LEAST_GRAY * len(decoded):
        of = 'images' if tried >= total else f'{tried:,} images tried'
        share = f'{100 * len(gray) / len(decoded):.0f}%'
        text = f'{share} of {of} are gray; color augmentation has no effect on them'
        findings.append(Finding('note', 'gray', text))
    dark = {path: inspection.bits for path, inspection in decoded.items() if inspection.bits}
    if dark:
        highest = f'{2 ** max(dark.values()) - 1:,}'
        draw = '' if tried >= total else f'of {tried:,} images tried, '
        verb, pronoun = ('uses', 'it') if len(dark) == 1 else ('use', 'them')
        text = (
            f'{draw}{plural(len(dark), "16-bit image")} only {verb} values up to {highest} and will be almost black; '
            f'rescale {pronoun} first'
        )
        findings.append(Finding('warning', 'dark', text, tuple(sorted(dark))))
    return findings
