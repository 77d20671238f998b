"""Pay once: answers by the request that they were given to."""
