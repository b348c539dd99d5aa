"""The only reader of /proc and /sys/fs/cgroup."""
