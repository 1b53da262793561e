"""The recorder: writes calls to InfluxDB, and counts them for /stats."""
