"""The page of a report: one accessible file without network or script, in which no text of the user is markup."""

import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers.report_runs import BATCH, write_photos, write_run

from lewel_plugins.api.training import Run
from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json, write_json
from lewel_plugins.reporting.figures import draw_spectra
from lewel_plugins.reporting.page import _commands, render
from lewel_plugins.reporting.pictures import Drawing, Neighbors, Pictures, Thumbnail
from lewel_plugins.reporting.report import MOST_BYTES, VERDICTS, write_report
from lewel_plugins.reporting.run_data import RunData, public_text, read_runs
from lewel_plugins.reporting.verdicts import Judgement, Verdict

VOID = {'meta', 'img', 'br', 'link', 'input', 'hr'}
EVIL = '<script>.jpg'


class Page(HTMLParser):
    """The elements of a page, and mistakes in their nesting."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.mistakes: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.mistakes += [f'{tag} is not closed' for tag in self._open]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.mistakes.append(f'</{tag}> closes nothing')

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def check(html: str) -> Page:
    """Check what holds for every page."""
    page = Page(html)
    assert page.mistakes == []
    assert len(page.all('h1')) == len(page.all('main')) == len(page.all('title')) == 1
    assert page.all('html') == [{'lang': 'en'}]
    names = [name for name, _ in page.elements]
    assert not {'script', 'link', 'iframe', 'object', 'embed', 'form', 'base'} & set(names)
    assert page.all('meta')[1] == {
        'http-equiv': 'Content-Security-Policy',
        'content': "default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    }
    assert not re.search(r'https?:|@import|url\((?!#)|javascript:', re.sub(r'base64,[^"]*', '', html))
    for _, attributes in page.elements:
        assert attributes.get('src', 'data:').startswith('data:image/webp;base64,') or 'src' not in attributes
        assert (attributes.get('href') or '#').startswith('#')
        assert not any(name.startswith('on') for name in attributes)
    assert all(attributes.get('alt') for attributes in page.all('img'))
    assert all(attributes.get('role') == 'img' and attributes.get('aria-label') for attributes in page.all('svg'))
    ids = [attributes['id'] for _, attributes in page.elements if 'id' in attributes]
    assert len(ids) == len(set(ids)) > 9
    targets = [attributes['href'][1:] for _, attributes in page.elements if attributes.get('href')]
    targets += re.findall(r'url\(#([^)]+)\)', html)
    assert set(targets) <= set(ids)
    return page


@pytest.fixture(scope='module')
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('anna maria') / 'photos'
    write_photos(folder, 1000, names=('"quoted" & more.jpg', EVIL))
    return folder


@pytest.fixture(scope='module')
def pictured(photos, tmp_path_factory) -> str:
    """Return the report of a training on 1,000 images."""
    run = write_run(photos.parent / 'runs' / 'a', photos)
    return write_report(run).read_text(encoding='utf-8')


def test_a_report_of_a_thousand_images_is_small_and_whole(pictured):
    page = check(pictured)
    assert len(pictured.encode()) <= MOST_BYTES
    assert 'Left out: ' in pictured and pictured.count('Left out: ') == 1  # section 5
    # 8 pictures with 3 × 7 neighbors, 16 × 2 views, the map and the alignment maps
    assert len(page.all('img')) == 8 * (1 + 3 * 7) + 16 * 2 + 2
    assert '>1,000</dd>' in pictured and 'HEALTHY' in pictured


def test_names_of_files_are_text(pictured):
    assert 'a/&lt;script&gt;.jpg' in pictured
    assert '<script' not in pictured.lower()


def test_no_absolute_path_is_in_a_report(pictured, photos):
    text = re.sub(r'base64,[^"]*', '', pictured)
    for part in photos.parts[1:-1]:  # the folders above, one of which has a space
        assert part not in text
    assert str(Path.home()) not in text or str(Path.home()) == '/'


def test_reasons_hold_no_absolute_path(tmp_path):
    run = write_run(tmp_path / 'hidden place' / 'a', tmp_path / 'secret folder' / 'photos')
    html = write_report(run).read_text(encoding='utf-8')
    check(html)
    assert html.count('Left out: FileNotFoundError') == 2
    assert 'hidden' not in html and 'secret' not in html and tmp_path.name not in html


def test_a_run_has_the_verdict_of_its_report(photos, tmp_path):
    run = Run(write_run(tmp_path / 'a', photos, data_time=0.02), 'finished')
    by_curves = run.verdict
    assert (by_curves.name, by_curves.level) == ('input-bound', 'caution') and str(by_curves) == by_curves.sentence
    write_report(run.path, images=False, out=tmp_path / 'elsewhere.html')
    assert not (run.path / VERDICTS).exists()
    html = write_report(run.path, images=False).read_text(encoding='utf-8')
    assert run.verdict == by_curves and by_curves.sentence in html
    recorded = read_json(run.path / VERDICTS)
    write_json(run.path / VERDICTS, dict(recorded, verdicts=[dict(recorded['verdicts'][0], name='shortcut')]))
    assert run.verdict.name == 'shortcut'  # what pictures show, and curves do not
    write_json(run.path / VERDICTS, dict(recorded, steps=999, verdicts=[]))
    assert run.verdict == by_curves  # the report is of an earlier step
    with pytest.raises(SetupError, match='none does not exist'):
        Run(tmp_path / 'none', 'planned').verdict  # noqa: B018


def test_a_report_without_images_needs_none(tmp_path):
    html = write_report(write_run(tmp_path / 'a'), images=False).read_text(encoding='utf-8')
    page = check(html)
    assert page.all('img') == [] and html.count('the report was written without images') == 2
    assert len(html.encode()) < 300_000


@pytest.mark.parametrize(
    'backbone, commands',
    [
        ('lewel_plugins.ResNet10', ['lewel finetune detector a --data BOXES --out a-detector']),
        (
            'mmpretrain.ResNet',
            ['lewel finetune detector a --data BOXES --out a-detector', 'lewel export a --to torchvision'],
        ),
    ],
)
def test_the_next_commands_fit_the_backbone(backbone, commands):
    run = RunData(Path('a'), 'a', {}, config=dict(model=dict(backbone=dict(type=backbone))))
    healthy = Judgement((Verdict('healthy', 'good', '', ''),), {})
    assert _commands([run], [healthy]) == commands


def test_the_next_commands_name_the_run_as_its_user_does(tmp_path, monkeypatch):
    write_run(tmp_path / 'runs' / 'my run')
    write_run(tmp_path / 'a')
    monkeypatch.chdir(tmp_path)
    healthy = Judgement((Verdict('healthy', 'good', '', ''),), {})

    def command(path):
        return _commands(read_runs([path]), [healthy])[0]

    line = "lewel finetune detector 'runs/my run' --data BOXES --out 'runs/my run-detector'"
    assert command('runs/my run') == command(tmp_path / 'runs' / 'my run') == line
    assert unescape(write_report('runs/my run').read_text(encoding='utf-8')).count(line) == 1
    monkeypatch.chdir(tmp_path / 'runs')
    assert command('../a') == 'lewel finetune detector ../a --data BOXES --out ../a-detector'
    assert command(tmp_path / 'a') == 'lewel finetune detector a --data BOXES --out a-detector'  # no folder of a user
    monkeypatch.chdir(tmp_path / 'a')
    assert command('.') == 'lewel finetune detector . --data BOXES --out ../a-detector'


def test_names_that_are_no_text_are_escaped(tmp_path):
    write_photos(tmp_path / 'photos', 8, names=('x\udce9.jpg',))
    html = write_report(write_run(tmp_path / 'run', tmp_path / 'photos')).read_text(encoding='utf-8')
    assert 'x\\udce9.jpg' in html
    check(html)
    run = write_run(tmp_path / 'other').rename(tmp_path / 'x\udce9')
    html = write_report(run).read_text(encoding='utf-8')
    assert '<h1>Training report: x\\udce9</h1>' in html
    check(html)


def test_memory_is_in_units_of_a_billion_bytes(tmp_path):
    html = write_report(write_run(tmp_path / 'a', memory=1024.0)).read_text(encoding='utf-8')  # mmengine logs MiB
    assert '1.1 GB' in html and 'GiB' not in html


def test_what_is_watched_and_seen_at_once(tmp_path):
    run = write_run(tmp_path / 'a')
    (run / 'monitored.txt').write_text('1.jpg\n2.jpg\n')
    (data,) = read_runs([run])
    assert (data.measures().num_watched, data.measures().batch) == (2, BATCH)
    data.config['optim_wrapper']['accumulative_counts'] = 4
    assert (data.images_at_once, data.images_per_step) == (BATCH, 4 * BATCH)
    data.config['model']['neck']['out_channels'] = 2 * BATCH
    assert data.rank_limit(of_embeddings=True) == BATCH  # the monitor sees one forward pass, of all ranks
    data.config['launcher'] = 'pytorch'  # unknown ranks, unless there is a plan
    assert (data.images_per_step, data.rank_limit(of_embeddings=True)) == (None, None)
    planned = replace(data, plan=dict(batch_size=dict(value=8 * BATCH)))
    assert (planned.images_per_step, planned.rank_limit(of_embeddings=True)) == (8 * BATCH, 2 * BATCH)


def test_an_interrupted_run_says_so(photos, tmp_path):
    run = write_run(tmp_path / 'a', photos, finished=False)
    html = write_report(run, images=False).read_text(encoding='utf-8')
    assert 'Not finished: the log ends at step 1,000 of about 1,0' in html


def test_a_run_that_logged_nothing_has_a_report(tmp_path):
    run = write_run(tmp_path / 'a')
    (run / '20260131_120000' / 'vis_data' / 'scalars.json').unlink()
    html = write_report(run, images=False).read_text(encoding='utf-8')
    check(html)
    assert 'UNKNOWN' in html and 'Left out: nothing was logged yet.' in html


def test_texts_of_a_run_are_escaped(tmp_path):
    run = write_run(tmp_path / 'a <b>$x_1$ & "c"')
    setting = dict(value='<img src=x onerror=1>', reason='/home/anna/w.pth & more')
    write_json(
        run / 'plan.json', dict(request=dict(method='lewel-m'), plan=dict(lr=setting), folder=dict(num_images=9))
    )
    write_json(run / 'check.json', dict(findings=[dict(level='warning', text='<i>12</i> files'), 'plain']))
    (run / 'broken_images.txt').write_text('a.jpg\nb.jpg\n', encoding='utf-8')
    html = write_report([run], images=False).read_text(encoding='utf-8')
    check(html)
    assert '&lt;img src=x onerror=1&gt;' in html and '<td>…/w.pth &amp; more</td>' in html
    assert 'warning: &lt;i&gt;12&lt;/i&gt; files' in html and '2 files could not be read (section 5).' in html
    assert 'a &lt;b&gt;$x_1$ &amp; &#34;c&#34;' in html


def test_several_runs_are_compared_by_seed(tmp_path):
    runs = [
        write_run(tmp_path / row / f'seed{seed}', seed=seed, shift=shift)
        for row, shift in (('one', 0), ('two', 0.5))
        for seed in (0, 1)
    ]
    for run in runs[2:]:
        config = run / '20260131_120000' / 'vis_data' / 'config.py'
        config.write_text(config.read_text().replace('lr=0.03', 'lr=0.3'))
    html = write_report(runs, tmp_path / 'both.html').read_text(encoding='utf-8')
    check(html)
    assert '>two − one</th>' in html
    assert '<th scope="row">loss</th><td class="number">+0.5 ± 0 (2 of 2 seeds agree)</td>' in html
    assert html.count('one/seed0: ') >= 4 and tmp_path.name not in html


def noise(side: int, height: int | None = None) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (height or side, side, 3), dtype=np.uint8)


def test_pictures_of_noise_are_small_enough(tmp_path, monkeypatch):
    thumbnail = Thumbnail(noise(96), 'noise')
    pictures = Pictures(
        count=2000,
        neighbors=[Neighbors(thumbnail, *[[thumbnail] * 7] * 3)] * 8,
        drawings=[Drawing('map', noise(880, 600), 'noise')] * 3,
        views=[[thumbnail] * 4] * 16,
    )
    run = write_run(tmp_path / 'a')
    assert len(render(read_runs([run]), pictures, 60).encode()) > MOST_BYTES  # or else nothing is tested
    monkeypatch.setattr('lewel_plugins.reporting.report.make_pictures', lambda run: pictures)
    html = write_report(run).read_text(encoding='utf-8')
    assert len(html.encode()) <= MOST_BYTES
    check(html)


def test_a_long_log_makes_no_long_page(tmp_path):
    short = write_report(write_run(tmp_path / 'a'), images=False).stat().st_size
    run = write_run(tmp_path / 'b')
    logs = run / '20260131_120000' / 'vis_data' / 'scalars.json'
    record = dict(lr=0.1, std=0.9, time=1, data_time=0)
    lines = [json.dumps(dict(record, loss=1 / i, rank_me=9 + i % 7, step=i)) for i in range(1, 50_001)]
    logs.write_text('\n'.join(lines), encoding='utf-8')
    assert write_report(run, images=False).stat().st_size < short + 100_000


@pytest.mark.parametrize(
    'name, message',
    [
        ('nothing', 'nothing does not exist'),
        ('a.txt', 'a.txt is not a folder'),
        ('empty', 'empty is not the folder of a training: it has no <start>/vis_data'),
    ],
)
def test_what_is_no_run_is_refused(tmp_path, name, message):
    (tmp_path / 'a.txt').touch()
    (tmp_path / 'empty').mkdir()
    with pytest.raises(SetupError, match=re.escape(message)):
        write_report(tmp_path / name)


def test_runs_that_cannot_be_compared_are_refused(tmp_path):
    run = write_run(tmp_path / 'a')
    with pytest.raises(SetupError, match='a is named twice'):
        write_report([run, tmp_path / 'a' / '..' / 'a'])
    with pytest.raises(SetupError, match='1 to 24 runs, got 0'):
        write_report([])
    with pytest.raises(SetupError, match='is a folder; name a file such as'):
        write_report(run, tmp_path)


@pytest.mark.parametrize(
    'text, public',
    [
        ('cannot read /home/anna/photos/x.jpg: denied', 'cannot read …/x.jpg: denied'),
        ('python train.py --out=/data/runs/a', 'python train.py --out=…/a'),
        ("'~/photos/x'", "'…/x'"),
        (r'C:\Users\anna\photos', '…/photos'),
        ('views/s, 1/2, knn/top1_k20, a/b/c.jpg', 'views/s, 1/2, knn/top1_k20, a/b/c.jpg'),
        ('/my own/place/x.jpg: denied', '…/x.jpg: denied'),
        ('/home/anna maria/x y.pth', '…/x y.pth'),
    ],
)
def test_absolute_paths_are_shortened(text, public):
    assert public_text(text, [Path('/my own/place')]) == public


@pytest.mark.parametrize('values', [[30.0, 20.0, 13.0], [8.0, 3.0, 0.2], [4.4, 4.2, 4.1], [1.0, 0.1, 1e-5]])
def test_an_axis_of_logarithms_has_numbers(values):
    labels = re.findall(r'<text[^>]*>([^<]*)</text>', draw_spectra({'a': values}))
    numbers = [float(label) for label in labels[labels.index('rank') + 1 : -1]]
    assert len(set(numbers)) >= 2 and all(value > 0 for value in numbers)
