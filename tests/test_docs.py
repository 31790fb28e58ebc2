from pathlib import Path

from graphs.search.graph import build


def test_the_picture_of_the_graphs_is_that_of_the_code():
    picture = build().compile(name="search").get_graph(xray=True).draw_mermaid().strip()
    assert f"```mermaid\n{picture}\n```" in Path("docs/graph.md").read_text()
