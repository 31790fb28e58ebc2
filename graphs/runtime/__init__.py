"""The live services of a run, and how a run is opened, resumed and forked."""
