"""Samples to windows to features: the same code in training, in validation and at the line.

    samples.Samples        columns of (tag, value, quality, source time)
    quality.screen         sentinels and impossible values become BAD; `StuckWatch`: frozen ones
    grid.Grid, grid.place  samples -> rows on a regular grid, with explicit gaps
    window.WindowCutter    rows -> window k, cut exactly once; `assess`: may it be scored
    statistics.Extractor   window -> the feature vector of a signature
    contract.fit_check     whether a gateway's tags can supply what a signature asks for

Nothing here does I/O, reads a clock, or keeps a task.
"""
