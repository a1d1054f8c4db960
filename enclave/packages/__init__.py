"""Packages that a project adds to the image: fetched from the site's mirror outside of workspaces, checked, unpacked.

Contract: nothing of a package is executed here (wheels only, no build, no installer's hooks), nothing of the image is
replaced or shadowed, and a version of a set never changes once it stands. Non-goal: judging what a package does; it
runs where researchers' own code runs, in a kernel without a network.
"""
