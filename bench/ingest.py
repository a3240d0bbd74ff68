"""What it costs to take a plant's signals in: OPC UA, MQTT, Sparkplug B, and the grid they become.

Each part compares side by side with what else there is, and can be run alone: `ingest_opcua`,
`ingest_mqtt`, `ingest_grid`.

    python -m bench.ingest [--quick]
"""

import argparse

from bench import ingest_grid, ingest_mqtt, ingest_opcua
from bench.report import report, table

PEERS = {
    "opcua": "asyncua 2.1.0, its handler object; node-opcua 2.186.4, its client",
    "mqtt": "aiomqtt's own loop with msgspec",
    "grid": "pandas: pivot, resample, ffill",
}


def main() -> None:
    """Run, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="shorter, for a first look")
    quick = parser.parse_args().quick
    figures: dict[str, float] = {}
    for part in (ingest_opcua, ingest_mqtt, ingest_grid):
        figures |= part.measure(quick=quick)
    table("Ingest", ["what", "is"], [[name, f"{value:.4g}"] for name, value in figures.items()])
    ratio = {name: value for name, value in figures.items() if "_vs_" in name}
    report("ingest", figures, PEERS, ratio)


if __name__ == "__main__":
    main()
