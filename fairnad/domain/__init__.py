"""The domain of a search: contract, objective, task defaults, training recipes, budgets."""
