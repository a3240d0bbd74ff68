"""A small plant for the site's tests: clocks that are turned by hand, and gateways that obey."""
