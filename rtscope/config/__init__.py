"""Settings, configuration files and every number of seconds."""
