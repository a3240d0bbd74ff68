"""Rollouts: plans, cohorts, permits, gates and the machine that moves them."""
