"""Installation by ``pip install -e ".[onedl]"`` (maintained OneDL packages) or ``".[openmmlab]"`` (classic ones).

MIM looks for ``tools/``, ``configs/`` and ``model-index.yml`` in ``lewel_plugins/.mim``, or, for an editable
install, in the clone itself. Which of the two it reads depends on the MIM and on the kind of installation:

* a wheel gets a copy (``build_py``), because nothing else of the clone is in it;
* a legacy ``setup.py develop`` install gets links, because openmim looks beside the package;
* a modern editable install (PEP 660) gets nothing: onedl-mim walks the clone, follows links, and would find
  every config twice.
"""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.develop import develop

ROOT = Path(__file__).resolve().parent
MIM_FILES = ('tools', 'configs', 'model-index.yml')


def read_requirements(name: str) -> list[str]:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line for line in (line.split('#')[0].strip() for line in lines) if line]


def read_version() -> str:
    scope: dict[str, str] = {}
    exec((ROOT / 'lewel_plugins' / 'version.py').read_text(encoding='utf-8'), scope)
    return scope['__version__']


class BuildPyWithMim(build_py):
    """Copy the files for MIM into the package that is being built."""

    def run(self) -> None:
        super().run()
        if getattr(self, 'editable_mode', False):
            return
        target = Path(self.build_lib) / 'lewel_plugins' / '.mim'
        # An earlier build in the same clone may have left configs that have since been renamed.
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in MIM_FILES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, target / name, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy2(source, target / name)


class DevelopWithMim(develop):
    """Link the files for MIM into the package. setuptools >= 80 uses this command only to call pip, without links."""

    def install_for_development(self) -> None:  # not called by setuptools >= 80
        super().install_for_development()
        target = ROOT / 'lewel_plugins' / '.mim'
        target.mkdir(exist_ok=True)
        for name in MIM_FILES:
            link = target / name
            if not link.is_symlink():
                os.symlink(os.path.relpath(ROOT / name, target), link)


setup(
    name='lewel_plugins',
    version=read_version(),
    description='Self-supervised pretraining for OpenMMLab: LEWEL, SMoG, MPCL and MSBReg',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['lewel_plugins', 'lewel_plugins.*']),
    package_data={
        'lewel_plugins': ['weights/*'],
        'lewel_plugins.reporting': ['*.jinja', '*.css'],
        'lewel_plugins.payoff': ['*.jinja'],
    },
    python_requires='>=3.10',
    # No install_requires: the OneDL and the classic packages provide the same modules, so neither can be a
    # hard dependency. `import lewel_plugins` raises an error with the missing packages and the command to run.
    extras_require={name: read_requirements(name) for name in ('onedl', 'openmmlab', 'data', 'dev', 'transfer')},
    entry_points={'console_scripts': ['lewel=lewel_plugins.cli.parser:main']},
    cmdclass={'build_py': BuildPyWithMim, 'develop': DevelopWithMim},
    zip_safe=False,
)
