"""The book pipeline: execute the notebooks, refuse what is not sound, build the site.

``execute`` runs the MyST Markdown notebooks with the parameters of a run, ``gate`` refuses an
executed copy that failed, is stale or belongs to another run, and ``build`` assembles the pages,
builds them with Jupyter Book and checks every internal link. All three take a :class:`Project`,
the checkout they work in. The packages they need come with the extra ``sanitygap[book]``.
"""

from sanitygap.book.execution import execute
from sanitygap.book.gatekeeper import check_links, gate
from sanitygap.book.project import Project
from sanitygap.book.site import build

__all__ = ["Project", "build", "check_links", "execute", "gate"]
