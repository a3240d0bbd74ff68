"""The screens of the console, one module each; what they show is made in `present`."""
