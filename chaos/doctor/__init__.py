"""What is installed for the live arm, and what each stack can do with it."""
