"""A student that learns with 8-bit integers: what it trains with, and what the 8-bit formats export of it."""
