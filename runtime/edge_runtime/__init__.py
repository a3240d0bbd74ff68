"""The gateway: reads the plant, runs the model, watches it, and updates or rolls back by itself."""
