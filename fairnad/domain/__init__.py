"""What a domain pack states: task defaults, training recipes, budgets."""
