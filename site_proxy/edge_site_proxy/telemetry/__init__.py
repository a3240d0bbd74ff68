"""Telemetry on its way up: durable here before it is acknowledged, then shipped until it is there.

receiver = JournalReceiver(journal, now=..., clock=...)      the gateway API's port
shipper = Shipper(journal, sink, dead_letters, wan, ...)     one task of the daemon
"""
