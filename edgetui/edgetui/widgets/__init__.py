"""What screens are made of: lines that scroll, and dialogs."""
