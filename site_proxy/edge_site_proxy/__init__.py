"""`site-proxy`: one daemon a plant that mirrors, rolls out, buffers, queues and keeps the books."""
