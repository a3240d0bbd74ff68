"""What takes minutes: faults by the hundred, power cuts at every step."""
