"""The plain HTTP endpoints of the client port and of the metrics port: probes, metrics, insight."""
