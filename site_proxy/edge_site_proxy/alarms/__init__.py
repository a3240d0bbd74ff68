"""Alarms in the manner of ISA-18.2: few, each with what it means and what to do."""
