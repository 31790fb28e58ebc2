"""The HTML report and the result files of a run."""
