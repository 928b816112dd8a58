"""Every link between our documents leads somewhere."""

import re
import subprocess
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|!\[[^\]]*\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"")
MADE = {"site/"}
"""What a command makes."""


def prose(path):
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", path.read_text(encoding="utf-8")))


def links(path):
    return [next(filter(None, match.groups())) for match in LINK.finditer(prose(path))]


def slug(heading):
    """An anchor as GitHub and Python-Markdown make it of a heading without punctuation between words."""
    text = unicodedata.normalize("NFKC", re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", text))


def anchors(path):
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    made = {slug(heading) for heading in re.findall(r"^#+\s+(.+?)\s*$", text, re.MULTILINE)}
    return made | set(re.findall(r"(?:id|name)=\"([^\"]+)\"", text))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_and_anchors_exist(path):
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists() or file in MADE, f"{path.name}: {link} leads nowhere"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), (
                f"{path.name}: {link}: no such heading; there are {sorted(anchors(target))}"
            )


def test_every_document_is_reached_from_the_readme_or_the_site():
    nav = (ROOT / "mkdocs.yml").read_text()
    lost = [path.name for path in DOCUMENTS[2:] if f": {path.name}\n" not in nav]
    assert not lost, f"add to the nav of mkdocs.yml: {lost}"


def test_no_link_looks_like_a_place_on_somebodys_disk():
    for path in DOCUMENTS:
        assert not [link for link in links(path) if link.startswith(("/", "file:"))], path.name


def test_links_are_found(tmp_path):
    text = "[a](b.md#c) `[x](y)` ![p](q.svg)\n```\n[z](z.md)\n```\n## One `two`: three\n"
    (tmp_path / "t.md").write_text(text)
    assert links(tmp_path / "t.md") == ["b.md#c", "q.svg"]
    assert anchors(tmp_path / "t.md") == {"one-two-three"}


@pytest.mark.slow
def test_the_site_is_built_and_asks_nothing_of_the_internet(tmp_path):
    mkdocs = pytest.importorskip("mkdocs", reason="needs the extra docs")
    assert mkdocs
    import os
    import sys

    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").glob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"?(https?:[^\s\">]+)", text)
        loaded += re.findall(r"<link[^>]*rel=\"?(?:stylesheet|preconnect|icon)\"?[^>]*href=\"?(https?:[^\s\">]+)", text)
        assert not loaded, f"{page.name}: {loaded}"
    reference = (tmp_path / "site" / "reference.html").read_text()
    names = ("features.extract", "features.open_store", "features.features_of", "videos.parse", "parsers.train")
    for name in (*names, "parsers.evaluate"):
        assert f'id="pipeline.api.{name}"' in reference
    assert "Length of every clip." in reference
    assert ":class:" not in reference
