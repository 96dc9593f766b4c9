"""Topic-based subscriptions (R5 Subscriptions Backport 1.1 on R4): what topics there are, and what is told of them."""
