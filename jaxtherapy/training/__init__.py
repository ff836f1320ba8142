"""The shell around the pure core: files, clocks, progress, signals."""
