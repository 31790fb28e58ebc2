"""Tasks: images and labels, read from files, cleaned and split."""
