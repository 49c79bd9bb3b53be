"""The site as one PDF: pages, text and links, as another program reads them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pypdf import PdfReader

from sanitygap.book.pdf import one_page, print_pdf
from tests.browser.conftest import Site

PAGES = ["book/index", "notebooks/theorem-1", "book/glossary"]


def test_pdf_has_pages_text_and_an_outline(chromium: str, site: Site, tmp_path: Path) -> None:
    before = sorted(path.name for path in site.folder.iterdir())
    # in a thread of its own, because this one drives the browser of the other tests already
    with ThreadPoolExecutor(1) as thread:
        target = tmp_path / "out" / "book.pdf"
        printed = thread.submit(print_pdf, site.folder.resolve(), PAGES, target).result()
    reader = PdfReader(printed)
    assert len(reader.pages) >= 4
    text = " ".join(" ".join(page.extract_text() for page in reader.pages).split())
    for words in ("Sanity Checks, Checked", "Theorem 1: SSIM rewards noise", "Glossary", "SHA-256"):
        assert words in text, words
    assert f"1 / {len(reader.pages)}" in text
    assert len(reader.outline) >= 3
    assert sorted(path.name for path in site.folder.iterdir()) == before


def test_links_between_pages_stay_in_the_document(site: Site) -> None:
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(one_page(site.folder.resolve(), PAGES), "html.parser")
    ids = [element["id"] for element in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    inside = [str(a["href"])[1:] for a in soup.find_all("a", href=True) if a["href"][0] == "#"]
    assert len(inside) > 10
    assert set(inside) <= set(ids)
    for image in soup.find_all("img"):
        source = str(image["src"])
        assert source.startswith("data:") or (site.folder / source).is_file(), source
