"""Modules the built-in designer writes into sources, as text; :mod:`agents.builtin.insertions` says where each fits.

Those that could disturb a trained branch start close to the identity: gates near 1, added terms with a small gain.
None depends on the size of the feature map, and all divide widths by what divides them.
"""
