"""What auditors ask for (E1 to E8), each built from the events of the log alone."""
