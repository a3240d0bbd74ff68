"""The runtimes that load models, each a small class behind one protocol, in a child only.

One thread and no telemetry: on a gateway the runtimes' own pools cost CPU and make the slowest
one per cent forty times slower, and a plant's machine reports to nobody. A runtime is imported
when one is opened, so the process that only asks for it stays small.
"""
