"""The Grafana dashboards, a table each; `charts/generate.py` writes them to `charts/podium/dashboards/`."""
