"""What the serving parsers are made of: engines, argument types, XML and JSON readers; `parse.py` calls them."""
