"""Papers as they come: files, lists, CVF year pages, arXiv ids; fetched politely, read, cut to their method."""
