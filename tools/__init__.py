"""Everything that uses the machine: the lab for untrusted sources, the trainer, the budget evaluator, data sets."""
