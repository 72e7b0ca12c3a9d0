"""What breaks real servers, one idea a module; each breakage heals itself and proves it."""
