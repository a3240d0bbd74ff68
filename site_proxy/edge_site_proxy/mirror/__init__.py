"""The site's mirror: what is current by the signed channel, verified, kept, and served offline."""
