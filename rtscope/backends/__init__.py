"""The systems that rtscope reads, one package each; none knows another."""
