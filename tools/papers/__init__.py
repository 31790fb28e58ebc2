"""Papers as they come: files, lists of abstracts, CVF year pages, arXiv ids; read, fetched politely, cut to a method."""
