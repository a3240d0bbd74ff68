"""The gateway API: TLS 1.3 with client certificates, raw ASGI, one process for 5,000 gateways."""
