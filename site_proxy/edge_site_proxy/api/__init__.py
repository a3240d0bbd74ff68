"""What the site proxy answers: to gateways over TLS, to people on a Unix socket."""
