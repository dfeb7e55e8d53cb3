"""Share between formats and views what they need on a terminal and in HTML."""
