"""Where runs are computed: devices, hosts, memory, compiled programs."""
