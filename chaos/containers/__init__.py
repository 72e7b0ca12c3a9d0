"""Real servers as containers: Docker's Engine, Compose, and removing all that was made."""
