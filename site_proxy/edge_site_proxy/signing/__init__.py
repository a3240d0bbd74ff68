"""How a person proves at the moment of signing that it is they who sign."""
