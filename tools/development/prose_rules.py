"""Rules of ``check_prose.py``: what to avoid in English and in names, the remedy, and examples of both kinds.

In a pattern a space stands for any white space, a line break included. Inline code reaches the patterns as ``_``
between backticks, and the end of a paragraph as ``¶``. A rule that would raise false alarms does not belong here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

PROSE = frozenset({'docstring', 'string', 'comment', 'markdown'})
NAMES = frozenset({'name', 'variable', 'path', 'word'})

UNITS = (
    'batch|call|channel|class|config|core|crop|device|directory|element|epoch|feature|figure|file|folder|function|GPU|'
    'group|image|iteration|key|kind|layer|line|map|method|module|page|panel|paper|parameter|pass|photograph|pixel|'
    'position|process|projector|quantity|query|rank|recipe|record|row|run|sample|scene|seed|second|setting|size|stage|'
    'step|tensor|view|worker'
)
# Words before "a UNIT" that make it an object or a complement: "a map of a batch", "a hook that a step calls".
NOT_COUNTED = (
    'about|above|across|after|against|among|and|are|around|as|at|be|because|become|before|behind|below|beside|besides|'
    'between|beyond|but|by|can|could|did|do|does|during|for|from|gave|get|give|got|had|half|has|have|hold|if|in|inside|'
    'into|is|keep|kept|like|made|make|may|must|near|need|not|of|off|on|onto|or|out|over|per|quite|ran|rather|read|run|'
    'saw|see|shall|should|show|so|start|such|take|than|that|through|to|took|towards|under|until|upon|use|via|want|was|'
    'were|what|when|where|whether|which|while|will|with|within|without|would|write|wrote|yet'
)
UNIT = (
    rf'an? (?:(?!second\b)(?:{UNITS})'
    r'|second(?= ?[.,;:)|¶]| (?:and|or|on|of|per|for|from|in|with|beside|by|at|is|as)\b))'
    r"\b(?!'s)(?! (?!is\b|was\b|has\b|as\b|always\b)[a-z]+s\b)"
)
MEASURED = (
    'bytes|calls|crops|dimensions|epochs|FLOPs|GB|GFLOPs|GiB|hours|images|iterations|KB|keys|losses|MB|MiB|'
    'milliseconds|minutes|ms|numbers|parameters|pixels|projectors|samples|seconds|tensors|values|views|weights'
)
AFTER_BARE_POSSESSIVE = (
    'after|alone|also|although|are|as|at|because|before|but|by|do|does|for|from|has|have|here|if|in|is|itself|not|on|'
    'of|over|than|that|to|too|under|was|were|when|where|which|while|with|without'
)
PEOPLE = 'authors?|caller|he|one|people|readers?|reviewers?|she|they|users?|we|who|you'
SPEAKERS = (  # what says something in English as well
    rf'{PEOPLE}|abstract|app|appendix|article|caption|comments?|docs?|docstrings?|documentation|footnote|license|page|'
    r'papers?|readme|rows?|secs?|section|tables?|text'
)
PARTICIPLES = 'asked|drawn|found|given|gone|held|kept|made|noted|said|taken|told'
ISE = (
    'author|binar|categor|central|character|critic|custom|discret|emphas|equal|factor|final|general|harmon|initial|'
    'local|material|maxim|memor|minim|modern|neutral|normal|optim|organ|parallel|penal|polar|prior|quant|random|real|'
    'recogn|regular|sanit|scrutin|serial|special|stabil|standard|summar|symbol|symmetr|synchron|token|util|vector|visual'
)


END = '(?-i:(?![a-z]))'  # end of a word, or of one in CamelCase


@dataclass(frozen=True)
class Rule:
    """A pattern to avoid.

    Args:
        id: Short name, as it is printed.
        pattern: Regular expression, case-sensitive; see the module for what reaches it.
        remedy: What to write instead.
        bad: Examples that the rule must find.
        good: Examples that it must let pass.
        kinds: Kinds of text that it reads, of ``PROSE`` and ``NAMES``.
        unless: Regular expression; what it finds just before a match lets the match pass.
    """

    id: str
    pattern: str
    remedy: str
    bad: tuple[str, ...]
    good: tuple[str, ...]
    kinds: frozenset[str] = PROSE
    unless: str = ''

    @cached_property
    def regexes(self) -> tuple[re.Pattern, re.Pattern | None]:
        """Return the compiled ``pattern`` and ``unless``."""
        pattern, unless = (text.replace(' ?', r'\s*').replace(' ', r'\s+') for text in (self.pattern, self.unless))
        return re.compile(pattern), re.compile(unless) if unless else None

    def matches(self, content: str) -> Iterator[tuple[int, int]]:
        """Yield start and end of each place in a text that breaks the rule."""
        pattern, unless = self.regexes
        for match in pattern.finditer(content):
            if not (unless and unless.search(content, max(0, match.start() - 60), match.start())):
                yield match.span()


RULES = (
    Rule(
        id='per-unit',
        pattern=(
            r'(?i:\b(?:an?|one|two|three|four|\d+) (?:[\w-]+ )??'
            rf"(?!(?:{NOT_COUNTED}|[\w'-]*(?:ed|ing|[b-rt-z]s)|second) an?\b)[\w-]+ {UNIT}"
            rf'|\b(?:two|three|four|several|\d+) [a-z]+s {UNIT}'
            rf'|\b(?:once|twice) {UNIT}|\b(?:{MEASURED}) {UNIT}'
            rf'|\b(?:memory|time) {UNIT}(?= ?[.,;:)|¶]))'
        ),
        remedy='write "per": one loss per projector, once per step',
        bad=(
            'one loss a projector',
            'Trains one head a\n    step.',
            'once an epoch, before a checkpoint',
            '1,768 images a second',
            'with a folder a config',
            'each a row of 32 views, a time an image',
            'a single loss a rank',
            'two losses a view',
            'Memory a GPU: 2 GB',
        ),
        good=(
            'one loss per projector',
            'a step of a batch',
            'gives a second view',
            'a hook that a step calls',
            'one process needs a device',
            'a file a run writes',
            'the images of a step',
            'a second pass over a batch',
            'times the step of a run',
            'the time a step takes',
            "On a CPU a step's time",
        ),
    ),
    Rule(
        id='possessive',
        pattern=(
            r"(?<![\w'])(?!(?:it|that|what|let|there|here|he|she|who|where|how|\d+)'s)[\w.`/-]*[a-zA-Z0-9_`]'s"
            rf'(?: ?[.;:)!?|¶]| ?,(?! (?:[\w-]+ ){{0,2}}[\w`]*\'s)| (?:{AFTER_BARE_POSSESSIVE})\b'
            r"| (?:and|or) (?!(?:[\w-]+ ){0,2}[\w`-]+'s? [\w(]))"
        ),
        remedy='put a noun after the possessive, or write "of" or "from": the rates set in the recipe',
        bad=(
            "The rates are the recipe's.",
            "with the recipe of LEWEL_B's for a ResNet",
            "any of ``mmpretrain``'s",
            "``optimizer`` is the recipe's with its groups",
            "beside mmpretrain's and lightly's.",
            "the loss is half of BYOL's, or less",
        ),
        good=(
            "The recipe's rates",
            "mmpretrain's and lightly's steps",
            "MoCo's, BYOL's and SMoG's own recipes",
            "It's there, and what's more, it's free.",
            "in the paper's (Sec. 3) order",
            "``fit``'s result",
            "the 90's.",
        ),
    ),
    Rule(
        id='say',
        pattern=r'\b(?:[Ss]ay(?!: [A-Z])|[Ss]ays|[Ss]aid|[Ss]aying)\b',
        unless=rf'\b(?:(?i:{SPEAKERS})\b\W+(?:[\w./]+\W+){{0,3}}|(?:no|a|to) )$',
        remedy='files and programs record, contain, give, print; only people and papers say',
        bad=('unless the config says otherwise', 'and says where the file is', 'as is said above'),
        good=(
            'The paper says nothing about it.',
            'which the papers here do not say',
            'as Sec. 8.4 says',
            'Here we say "group".',
            'had no say in it',
            'say: Receives each line.',  # an argument
        ),
    ),
    Rule(
        id='tell',
        pattern=r'\b(?:[Tt]ells?|[Tt]old|[Tt]elling)\b(?! (?:(?:[\w-]+ ){0,5}apart|(?:[\w-]+ ){1,3}from)\b)',
        unless=rf'\b(?:{PEOPLE})\b (?:[\w-]+ )?$',
        remedy='files and programs record, name, show, determine; they do not tell',
        bad=('The checkpoint tells its backbone.', 'numba was told to compile', 'if neither tells'),
        good=(
            'The checkpoint names its backbone.',
            'features that tell classes apart',
            'cannot tell it from a file',
            'as users can tell',
        ),
    ),
    Rule(
        id='ask',
        pattern=r'\b(?:[Aa]sks?|[Aa]sked|[Aa]sking)\b',
        unless=rf'\b(?:{PEOPLE})\b (?:[\w-]+ )?$',
        remedy='write "request", "require", "query" or "call"; "if requested" for "if asked for"',
        bad=('k neighbors were asked for', 'The config asks for two views.', 'without asking the device'),
        good=('k neighbors were requested', 'if a user asks for it', 'what you ask for', 'task, mask'),
    ),
    Rule(
        id='waited-for',
        pattern=(
            r'\b(?:is|are|be|was|were|been|being|and) (?:[a-z]+ )?waited for\b'
            r'(?! (?:an?|\d+|(?:[a-z]+) (?:seconds|minutes|hours))\b)'
        ),
        remedy='write "synchronizes with", "is complete", "when the transfer ends"',
        bad=('when the copy is waited for', 'started now and waited for later'),
        good=('The process waits for the collective.', 'The test was waited for a minute.'),
    ),
    Rule(
        id='take-up',
        pattern=(
            r'\b(?:[Tt]akes?|[Tt]aken|[Tt]ook|[Tt]aking) (?:it |them |this |that )?up\b'
            r'(?! (?:to|half|most|all|(?:[\w-]+ )?(?:memory|space|room))\b)'
        ),
        remedy='write "load", "restore", "continue with" or "adopt"',
        bad=('Take up the list of a resumed run.', 'takes it up'),
        good=('takes up to four views', 'takes up half of the memory', 'takes up less space'),
    ),
    Rule(
        id='subject-first',
        pattern=(
            r'(?:^|[.;:¶] )(?:Compared|Computed|Copied|Counted|Drawn|Excluded|Given|Included|Kept|Left out|Listed|Made|'
            r'Measured|Needed|Printed|Read|Recorded|Reported|Returned|Saved|Shown|Stored|Taken|Tested|Used|Written)'
            r' (?:is|are|was|were)\b'
        ),
        remedy='put the subject first: "The test compares …"',
        bad=('Compared are the contents.', 'One file. Measured is the time of a step.'),
        good=('The contents are compared.', 'Speed is what counts.', 'Outside are trees.'),
    ),
    Rule(
        id='riddle-comment',
        pattern=r'^(?:of\b(?! course)|(?:meanwhile|again|else|so|then|too|both|also|here|there|instead)\W*¶)',
        remedy='put a noun in front: "# width of the legend and the title"',
        bad=('of the legend and the title', 'meanwhile'),
        good=('width of the legend', 'meanwhile the copy goes on', 'off'),
        kinds=frozenset({'comment'}),
    ),
    Rule(
        id='american',
        pattern=(
            r'(?i:'
            rf'(?:{ISE})is(?:e|ed|es|er|ers|ing|ation|ations|able){END}'
            rf'|(?:behavi|col|endeav|fav|flav|hon|lab|neighb|rig)our|grey(?!hound)'
            rf'|(?:(?<![a-z])|re|epi)cent(?:re[ds]?|ring){END}'
            rf'|(?<![a-z])(?:kilo|milli|centi)?(?:met|lit|fib)res?{END}'
            rf'|(?:(?<![a-z])|re)analys(?:e|ed|er|ing){END}'
            rf'|(?:cancel|channel|fuel|label|level|model|signal|total|travel|tunnel)l(?:ed|ing|er|ers){END}'
            rf'|licence|defence|artefact|sceptic|whilst|(?<![a-z])(?:learnt|spelt|fulfil|enrol|ageing|practised){END})'
        ),
        remedy='American spelling: normalize, color, gray, behavior, center, label',
        bad=(
            'normalised',
            'the centre of a grey map',
            'unlabelled',
            'StandardisedLinear',
            'num_neighbours',
            'Licence',
            'artefacts',
        ),
        good=(
            'normalized',
            'the center of a gray map',
            'realistic analyses',
            'otherwise precise exercises',
            'fiber bundles',
            'concentrated',
        ),
        kinds=PROSE | NAMES,
    ),
    Rule(
        id='participle-name',
        pattern=rf'^_?(?:{PARTICIPLES})¶?$',
        remedy='name the thing: matches, problems, expected',
        bad=('found', 'drawn', '_noted'),
        good=('matches', 'seed', 'found_at', 'seen'),
        kinds=frozenset({'variable'}),
    ),
)
