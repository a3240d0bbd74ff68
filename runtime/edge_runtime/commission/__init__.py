"""Puts a gateway into service: what a server has, which tags fit a model, what is in order."""
