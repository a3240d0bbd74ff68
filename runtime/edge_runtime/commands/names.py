"""What every subcommand of `edge-gateway` shares: its name, its file, its exit codes."""

from pathlib import Path
from typing import Final

PROGRAM: Final = "edge-gateway"
CONFIG: Final = Path("/etc/edge-gateway/gateway.toml")

EXIT_CODES: Final = """exit codes:
  0 done   1 our own failure   2 usage   3 refused   4 no such thing   5 not reachable
  6 conflict   75 try again   77 not permitted   78 configuration"""
