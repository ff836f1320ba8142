"""For mkdocs: documents at the root of the repository are pages too; equations become MathML."""

import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}


def on_config(config: Any) -> None:
    """Equations are blocks of ``math``, as GitHub shows them."""
    fences = config.mdx_configs["pymdownx.superfences"]["custom_fences"]
    fences.append({"name": "math", "class": "math", "format": _typeset})


def _typeset(source: str, *_: Any, **__: Any) -> str:
    return f"<p>{convert(source, display='block')}</p>"


def on_files(files: Files, config: Any) -> Files:
    """Adds them."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to them lead to their pages."""
    names = "|".join(map(re.escape, PAGES))
    return re.sub(rf"\]\((?:\.\./)?({names})", lambda found: f"]({PAGES[found[1]]}", markdown)
