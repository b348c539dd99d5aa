"""From endpoints to one inventory: discover, collect, fold, join, expect."""
