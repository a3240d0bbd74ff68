"""The Open Inference Protocol (KServe V2) for clients on the gateway or the plant network."""
