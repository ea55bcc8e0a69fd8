"""The command line: its options, and one line for what is wrong."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from lewel_plugins.cli import commands
from lewel_plugins.cli.parser import COMMANDS, main, option_names

pytestmark = pytest.mark.core

# A further option is one more thing to know for every user. --set reaches every other setting.
OPTIONS = {
    'pretrain': '--out --method --backbone --from --epochs --hours --batch-size --image-size --gpus --workers --labels '
    '--holdout --seed --set --dry-run',
    'check': '--method --backbone --from --epochs --hours --batch-size --image-size --gpus --workers --labels '
    '--holdout --seed --set --seconds --json',
    'report': '--out --no-images',
    'worth': '--labels --out --from --pretrained --fractions --seeds --margin --group-by --hours --set --dry-run',
    'finetune': '--data --out --epochs --gpus --seed --set --dry-run',
    'export': '--to --out',
}


@pytest.mark.parametrize('command', COMMANDS)
def test_options_of_a_command(command):
    assert option_names(command) == ['--help', *OPTIONS[command].split()]


def test_help_of_report_states_both_default_files(capsys):
    with pytest.raises(SystemExit):
        main(['report', '--help'])
    text = ' '.join(capsys.readouterr().out.split())
    assert '(default: RUN/report.html; for several runs comparison.html in the current folder)' in text


@pytest.mark.parametrize('command', COMMANDS)
def test_help_begins_with_a_sentence(command, capsys):
    with pytest.raises(SystemExit):
        main([command, '--help'])
    sentence = capsys.readouterr().out.split('\n\n')[1]
    assert sentence.endswith(('.', '?')) and '?.' not in sentence


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ('pretrain photos --out r --epoch 3', 'unknown option --epoch; did you mean --epochs?'),
        ('check photos --out r', 'lewel check has no --out, because it writes nothing; leave it out'),
        ('check photos --out=r', 'lewel check has no --out, because it writes nothing; leave it out'),
        ('pretrain photos --out r --zzz', 'unknown option --zzz; the options are --help, --out, '),
        ('pretain photos', "unknown command 'pretain'; did you mean pretrain?"),
        ('xyz', "unknown command 'xyz'; the commands are pretrain, check"),
        ('pretrain photos --out r --epochs many', "argument --epochs: must be a whole number, got 'many'"),
        ('pretrain photos', 'the following arguments are required: --out'),
        ('pretrain photos --out r --epochs 3 --hours 2', '--epochs and --hours both set the length; give one of them'),
        ('check photos --epochs 3 --hours 2', '--epochs and --hours both set the length; give one of them'),
        ('export r --to onn', "argument --to: invalid choice: 'onn'"),
    ],
)
def test_mistakes_are_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f'error: {message}') and output.err.count('\n') == 1 and not output.out
    assert not list(tmp_path.iterdir())


def test_help_and_refusals_import_no_torch(tmp_path):
    code = (
        'import sys; from lewel_plugins.cli.parser import main\n'
        'main(["pretrain", "x", "--epoch"]); main([])\n'
        'print("torch" in sys.modules or "mmengine" in sys.modules)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stdout.rstrip().endswith('False'), done.stdout + done.stderr
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (OSError(errno.ENOSPC, 'No space left on device', 'r/train.log'), 'r/train.log: no space left on device'),
        (OSError(errno.EIO, 'Input/output error', b'a\xff', None, 'b\n'), 'a\\udcff and b\\n: input/output error'),
        (FileNotFoundError(errno.ENOENT, 'No such file or directory', Path('x')), 'x: no such file or directory'),
        (OSError('only a text'), 'only a text'),
    ],
)
def test_an_error_of_the_file_system_is_one_line(monkeypatch, capsys, error, line):
    def fail(args):
        raise error

    monkeypatch.setattr(commands, 'run', fail)
    assert main(['check', '.']) == 1
    assert capsys.readouterr().err == f'error: {line}\n'


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(commands, 'run', lambda args: {}['bug'])
    with pytest.raises(KeyError, match='bug'):
        main(['check', '.'])
