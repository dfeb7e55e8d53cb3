"""What formats and views share on a terminal and in HTML."""
