"""The ground floor: the seams between the components, and the mechanisms that two or more share."""
