"""Where verdicts go: an MQTT topic, nodes of an OPC UA server, files. Nothing else is written."""
