"""Samples to windows to features: the same code in training, in validation and at the line.

    recording.read_samples lines of text (tag,timestamp,value,status) -> samples
    samples.Samples        columns of (tag, value, quality, source time); `from_columns`: of arrays
    quality.Screen         sentinels and impossible values are marked; `StuckWatch`: frozen ones
    grid.Grid, grid.place  samples -> rows on a regular grid, with explicit gaps
    window.WindowCutter    rows -> window k, cut exactly once; `assess`: may it be scored
    stream.WindowFeed      all of these in a row, as samples arrive; `windows_of`: of a recording
    statistics.Extractor   window -> the feature vector of a signature
    words.number_of        how the name of a recipe travels among numbers
    contract.fit_check     whether a gateway's tags can supply what a signature asks for

Nothing here does I/O, reads a clock, or keeps a task.
"""
