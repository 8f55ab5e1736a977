"""The process that talks to clients: no root, no capability, and the only reader of their bytes."""
