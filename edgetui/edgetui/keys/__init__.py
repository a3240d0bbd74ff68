"""Where a key is bound: one registry that feeds footer, help, palette, commands and roles."""
