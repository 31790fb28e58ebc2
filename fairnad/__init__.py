"""The method of FairNAD, pure: no language model, no torch, no clock, no files, no global randomness."""

__version__ = "0.1.0"
