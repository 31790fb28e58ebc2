"""Trainings and predictions on the nodes of a Ray cluster; nothing else needs Ray, which is an optional extra."""
