"""The fleet: where each gateway stands, and what it last said."""
