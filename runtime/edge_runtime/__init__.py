"""The gateway: reads the plant, runs the model, watches it, updates or rolls back by itself."""
