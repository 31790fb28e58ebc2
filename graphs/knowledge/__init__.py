"""Building knowledge: the bench the nodes work at, the graphs of one paper and of all references, what is told."""
