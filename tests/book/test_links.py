"""The link checker, on small sites written by hand."""

from pathlib import Path

import pytest

from sanitygap.book import check_links

GOOD = """\
<link rel="canonical" href="https://example.org/"><script src="_static/a.js"></script>
<h1 id="top-1">A</h1><a href="#top-1">here</a><a href="#">top</a><a href="sub/b.html#x%20y">b</a>
<a href="sub/">folder</a><a href="https://example.org/far">far</a><a href="mailto:a@b.c">mail</a>
<img src="i.png" alt="A dot."><img src="data:image/gif;base64,AA" alt="A dot.">
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two pages, a script and an image, with nothing wrong."""
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "a.js").touch()
    (tmp_path / "i.png").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.html").write_text('<p id="x y"><a href="../index.html">up</a></p>')
    (tmp_path / "sub" / "index.html").write_text("<p>index</p>")
    (tmp_path / "index.html").write_text(GOOD)
    return tmp_path


def test_sound_site_has_no_problem(site: Path) -> None:
    assert check_links(site) == []


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<a href="no.html">x</a>', "link 'no.html' leads to no file"),
        ('<a href="../outside.html">x</a>', "link '../outside.html' leads to no file"),
        ('<a href="#no">x</a>', "link '#no' leads to no id in index.html"),
        ('<a href="sub/b.html#no">x</a>', "link 'sub/b.html#no' leads to no id in sub/b.html"),
        ('<a href="/index.html">x</a>', "link '/index.html' works only at the top of a server"),
        ('<p id="top-1">x</p>', "id 'top-1' is used 2 times"),
        ('<img src="no.png" alt="x">', "link 'no.png' leads to no file"),
        ('<img src="i.png">', "image 'i.png' has no alternative text"),
        ('<img src="i.png" alt=" ">', "image 'i.png' has no alternative text"),
        (
            '<script src="https://example.org/x.js"></script>',
            "loads 'https://example.org/x.js' from another host",
        ),
        (
            '<link rel="stylesheet" href="//example.org/x.css">',
            "loads '//example.org/x.css' from another host",
        ),
        (
            '<meta http-equiv="refresh" content="0; url=no.html">',
            "link 'no.html' leads to no file",
        ),
    ],
)
def test_each_problem_is_found(site: Path, html: str, problem: str) -> None:
    with (site / "index.html").open("a") as file:
        file.write(html)
    assert check_links(site) == [f"index.html: {problem}"]
