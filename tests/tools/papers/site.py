"""A web site on this machine that mimics a CVF year page with its papers, and the arXiv interface; it counts visits."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.tools.papers.pdfs import pdf

ROBOTS = "User-agent: *\nDisallow: /private/\n"

YEAR_PAGE = """<html><body><div id="content"><dl>
<dt class="ptitle"><br><a href="/content/CVPR2023/html/Smith_Gated_Blocks_CVPR_2023_paper.html">Gated  Blocks for
Networks</a></dt>
<dd>John Smith</dd>
<dd>[<a href="/content/CVPR2023/papers/Smith_Gated_Blocks_CVPR_2023_paper.pdf">pdf</a>]</dd>
<dt class="ptitle"><br>
<a href="/content/CVPR2023/html/Lee_A_Large_Dataset_CVPR_2023_paper.html">A Large Dataset</a></dt>
<dd>Ann Lee</dd>
<dt class="ptitle"><br>no link here</dt>
</dl></div></body></html>"""

PAPER_PAGE = """<html><body><div id="papertitle">{title}<dd>more</dd></div><div id="abstract">
{abstract}</div><a href="/content/CVPR2023/papers/{name}.pdf">pdf</a></body></html>"""

GATED_ABSTRACT = (
    "We propose a gated convolution block with channel attention and multi-scale fusion. The module has two branches "
    "and a residual connection, and replaces the transformer layer of a backbone."
)

FEED = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <entry>
    <id>http://arxiv.org/abs/2201.03545v2</id><published>2022-01-10T18:59:10Z</published>
    <title>A ConvNet for
      the 2020s</title><summary>Large kernels and layer
      normalization in a convolution block.</summary>
    <link href="http://arxiv.org/abs/2201.03545v2" rel="alternate"/>
    <link title="pdf" href="{root}/pdf/2201.03545v2" rel="related"/>
  </entry>
  <entry><id>http://arxiv.org/api/errors#incorrect_id</id><title>Error</title><summary></summary></entry>
</feed>"""

METHOD_PAGE = """<html><body><article><h1>Gated Blocks</h1><h2>1. Introduction</h2><p>Much has been said.</p>
<h2>3. Method</h2>{method}<h2>4. Experiments</h2><p>It works.</p></article></body></html>"""

METHOD_LINES = (
    "The block sends its input through two branches, a depthwise convolution and a channel attention layer.",
    "We insert a gate after the pointwise layer and concatenate both branches.",
    "We design a block with a dilated convolution kernel, whose output is fused with the shortcut.",
)
METHOD = "\n".join(METHOD_LINES)


class Site:
    """The site, running in threads from ``with`` to its end. ``pages`` may be changed; ``visits`` counts by path.

    ``refusals`` gives statuses to answer a path with before its page is served; ``agents`` are those who came.
    """

    def __init__(self) -> None:
        self.visits: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.refusals: dict[str, list[tuple[int, dict[str, str]]]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.site = self  # type: ignore[attr-defined]
        self.root = f"http://127.0.0.1:{self._server.server_address[1]}"
        folder = "/content/CVPR2023"
        names = "Smith_Gated_Blocks_CVPR_2023_paper", "Lee_A_Large_Dataset_CVPR_2023_paper"
        self.pages: dict[str, str | bytes] = {
            "/robots.txt": ROBOTS,
            "/CVPR2023?day=all": YEAR_PAGE,
            f"{folder}/html/{names[0]}.html": PAPER_PAGE.format(
                title="Gated Blocks for Networks", abstract=GATED_ABSTRACT, name=names[0]
            ),
            f"{folder}/html/{names[1]}.html": PAPER_PAGE.format(
                title="A Large Dataset", abstract="We collect a dataset of annotated labels.", name=names[1]
            ),
            f"{folder}/papers/{names[0]}.pdf": pdf(
                "Gated Blocks", "1. Introduction", "Long ago.", "3. Method", *METHOD_LINES, "4. Experiments", "Fine."
            ),
            "/api/query?id_list=2201.03545,9999.99999&max_results=2": FEED.format(root=self.root),
            "/pdf/2201.03545v2": METHOD_PAGE.format(method="".join(f"<p>{line}</p>" for line in METHOD_LINES)),
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        site.visits[self.path] += 1
        site.agents.add(self.headers.get("user-agent", ""))
        refusals = site.refusals.get(self.path, [])
        if refusals:
            self._answer(*refusals.pop(0), b"")
        elif self.path in site.pages:
            page = site.pages[self.path]
            self._answer(200, {"content-type": "text/html"}, page.encode() if isinstance(page, str) else page)
        else:
            self._answer(404, {}, b"")

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep the tests' output clean."""
