"""The audit log: append-only, Merkle-hashed, verifiable by someone who does not trust us."""
