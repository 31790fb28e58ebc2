"""What touches the machine: the lab that runs untrusted sources, the trainer, the budget evaluator, data sets."""
