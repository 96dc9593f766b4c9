"""What a browser shows: HTML that escapes by itself, styled without a line of script."""
