"""Turns what the site says into text: words, tables, bars, curves, pages; no I/O, no Textual."""
