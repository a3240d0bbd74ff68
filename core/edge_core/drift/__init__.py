"""Drift: how far a plant has moved from what a model was trained and validated on.

    psi       numbers that are shown: PSI, JS, KS, W1, each by the name of its convention
    wcusum    the one that decides: window CUSUM against a signed reference, at the gateway
    fit       the reference itself, with a bar from a nested block bootstrap, at the packager
    domain    whether one feature vector lies where the model was trained

Drift routes windows to review. It never pages and never retrains. Nothing here does I/O or reads
a clock, and all of it runs on numpy alone.
"""
