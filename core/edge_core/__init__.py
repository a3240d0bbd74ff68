"""The ground floor: the seams between components, and the mechanisms that two or more share."""
