"""The processes that call a mechanism."""
