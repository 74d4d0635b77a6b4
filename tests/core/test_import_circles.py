"""No file imports itself by way of others, in any package that is shipped."""

import graphlib

import grimp

PACKAGES = ("jukebox_core", "jobs", "api", "worker", "cli", "studio")


def test_files_import_each_other_in_no_circle():
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    # Raises CycleError, which names the files of a circle.
    order = list(graphlib.TopologicalSorter(imports).static_order())
    assert set(order) == graph.modules
    assert len(order) > 300
