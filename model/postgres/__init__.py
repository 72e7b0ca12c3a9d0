"""Real PostgreSQL in virtual time: its cluster, its sessions, and the client that crosses to it."""
