"""Whether hostile models are kept out and good ones let in."""
