"""Sphinx's settings of the documentation site; ``make docs`` builds it."""

from lewel_plugins.version import __version__ as release

project = 'lewel_plugins'
author = 'the developers of lewel_plugins'
version = release
extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx_copybutton']
html_theme = 'furo'
html_title = 'lewel_plugins'
html_show_sourcelink = False
html_show_copyright = False
templates_path: list[str] = []
myst_heading_anchors = 5
myst_enable_extensions = ['attrs_inline']  # no formulas in LaTeX: Sphinx loads MathJax from the network
nb_execution_mode = 'off'  # notebooks are committed with their outputs
add_module_names = False
autodoc_typehints = 'signature'
autodoc_member_order = 'bysource'
autodoc_default_options = {'members': True, 'show-inheritance': True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
