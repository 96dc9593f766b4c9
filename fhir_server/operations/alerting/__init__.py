"""Alert rules on the side of the server: what is refused when one is written, what one is judged over, `$simulate`."""
