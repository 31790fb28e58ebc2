"""No module imports itself by way of others, also not inside functions or for types alone."""

from graphlib import TopologicalSorter

import grimp

PACKAGES = ("agents", "fairnad", "graphs", "prompts", "store", "tools")


def test_there_are_no_import_cycles():
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names a cycle
