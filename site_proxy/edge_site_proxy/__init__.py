"""`site-proxy`: one daemon a plant; mirrors, rolls out, buffers, queues, and keeps the books."""
