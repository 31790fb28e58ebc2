"""The commands of ``python -m graphs.search``; only ``fork``, ``add-idea`` and ``index`` write."""
