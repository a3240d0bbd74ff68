"""Where samples come from: OPC UA, MQTT and Sparkplug B, all yielding the same `SampleBatch`."""
