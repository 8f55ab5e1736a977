"""What the tests share. Nothing here asserts; it starts, asks and waits, each with a limit."""
