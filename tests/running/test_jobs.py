"""Jobs that are done once."""

import errno
import json
import os

import pytest

from lewel_plugins.errors import SetupError
from lewel_plugins.running import jobs
from lewel_plugins.running.jobs import Job, digest, lock

pytestmark = pytest.mark.core


def test_a_job_is_done_once_it_has_finished_with_the_same_inputs(tmp_path):
    note = tmp_path / 'new' / 'note.json'
    job = Job(note, dict(seed=1, sizes=(1, 2)), about=dict(path='a'))
    assert not job.is_done()
    job.finish(dict(accuracy=50.0))
    assert job.is_done() and job.result() == dict(accuracy=50.0)
    assert Job(note, dict(seed=1, sizes=[1, 2]), about=dict(path='b')).is_done()
    assert not Job(note, dict(seed=2, sizes=[1, 2])).is_done()
    assert not Job(note, dict(seed=1, sizes=[1, 2], rate=None, more=0)).is_done()


def test_a_job_without_a_result_can_be_done_too(tmp_path):
    job = Job(tmp_path / 'note.json', dict(a=1))
    job.claim([])
    assert not job.is_done()
    job.finish()
    assert job.is_done() and job.result() is None


@pytest.mark.parametrize('text', ['', '{"inputs": {"a": 1}, "resu', '[1]'])
def test_a_damaged_note_counts_as_not_done(tmp_path, text):
    (tmp_path / 'note.json').write_text(text)
    assert not Job(tmp_path / 'note.json', dict(a=1)).is_done()


def test_a_claim_is_replaced_until_there_are_results(tmp_path):
    note, result = tmp_path / 'note.json', tmp_path / 'iter_1.pth'
    Job(note, dict(a=1)).claim([result])
    Job(note, dict(a=2, b='x')).claim([result])
    result.touch()
    Job(note, dict(a=2, b='x')).claim([result])
    with pytest.raises(SetupError, match=rf'^{tmp_path} holds a run from a 2, not 3, b x, not y: give another --work'):
        Job(note, dict(a=3, b='y')).claim([result])
    Job(note, dict(a=2, b='x')).claim([result])  # the refusal has not changed the record


def test_a_job_that_is_done_is_a_result_itself(tmp_path):
    note = tmp_path / 'note.json'
    Job(note, dict(a=1)).finish()
    with pytest.raises(SetupError, match='holds a run from a 1, not 2'):
        Job(note, dict(a=2)).claim([tmp_path / 'none'])
    Job(note, dict(a=1)).claim([])
    assert Job(note, dict(a=1)).is_done()  # a second claim keeps the job done


def test_results_that_no_note_explains_are_refused(tmp_path):
    (tmp_path / 'iter_1.pth').touch()
    with pytest.raises(SetupError, match='holds a run that does not record what it started from'):
        Job(tmp_path / 'note.json', dict(a=1)).claim([tmp_path / 'iter_1.pth'])


def test_notes_of_earlier_versions_count(tmp_path):
    note = tmp_path / 'note.json'
    note.write_text(json.dumps(dict(digest='abc', result=dict(x=1))))  # a command of a comparison
    assert Job(note, dict(digest='abc')).result() == dict(x=1) and Job(note, dict(digest='abc')).is_done()
    assert not Job(note, dict(digest='abd')).is_done()
    note.write_text(json.dumps(dict(checkpoint='a.pth', sha256='00', seed=0)))  # a fine-tuning
    Job(note, dict(sha256='00', seed=0)).claim([note])
    with pytest.raises(SetupError, match=r'from a\.pth'):
        Job(note, dict(sha256='11', seed=0)).claim([note], lambda changes, about: [about['checkpoint']])


def test_digest_tells_values_apart():
    assert digest(1, dict(b=1, a=2)) == digest(1, dict(a=2, b=1))
    assert len({digest(1), digest('1'), digest([1]), digest(1, None), digest()}) == 5
    assert len(digest(1)) == 64


def test_a_lock_keeps_others_out_until_it_is_closed(tmp_path):
    descriptor = lock(tmp_path / 'new' / 'run.lock')
    assert descriptor is not None
    assert lock(tmp_path / 'new' / 'run.lock', patience=0.0) is None
    os.close(descriptor)
    again = lock(tmp_path / 'new' / 'run.lock', patience=0.0)
    assert again is not None
    os.close(again)


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.ENOTSUP])
def test_nothing_is_locked_on_a_file_system_without_locks(tmp_path, monkeypatch, number):
    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(jobs.fcntl, 'flock', refuse)
    first, second = (lock(tmp_path / 'run.lock', patience=0.0) for _ in range(2))
    assert first is not None and second is not None
    for descriptor in (first, second):
        os.close(descriptor)
