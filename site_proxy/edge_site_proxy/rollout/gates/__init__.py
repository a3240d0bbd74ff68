"""Gates of a cohort: what is counted, what is compared, and the verdict; pure."""
