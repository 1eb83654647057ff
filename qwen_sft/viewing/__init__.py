"""Samples as pages: what one is shown as, the pages of a set, and the server that shows them to their owner."""
