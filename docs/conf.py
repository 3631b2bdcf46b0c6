"""How Sphinx builds these pages: `hatch run docs:build`, where every warning is an error.

Decisions: pages are Markdown (MyST); nothing is fetched, so there are no inventories of other projects.
"""

import codex_core

project = "Codex"
copyright = "the Codex contributors"
version = release = codex_core.__version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_title = f"Codex {release}"
html_show_sourcelink = False
