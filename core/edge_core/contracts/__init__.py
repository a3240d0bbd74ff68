"""Wire types and names: what one component may say to another."""
