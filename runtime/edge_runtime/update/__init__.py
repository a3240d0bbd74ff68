"""Updates: four references, one machine, a durable record, and the agent that acts on them.

`references` and `machine` decide and do no I/O; `store` keeps the record through power cuts;
`agent` fetches, verifies, loads, and asks for permits.
"""
