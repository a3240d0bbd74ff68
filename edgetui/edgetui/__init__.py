"""`edgetui`: the models of a plant on a terminal over SSH, for people awake at 3 am."""
