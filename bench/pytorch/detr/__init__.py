# SPDX-License-Identifier: LGPL-2.1-or-later
"""The networks of the DEIM family in PyTorch, in our own words: see network.py."""
