"""Building knowledge: the attribute tree from reference models, the idea base from papers."""
