"""Pages: what leaves the site when somebody has to come, whatever the hour."""
