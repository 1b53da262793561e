"""
The Grafana dashboards as code: `python -m tools.dashboards` writes charts/decibus/dashboards.

    boards ─▶ what is shown, and by which query
    grafana ─▶ how Grafana wants it written
"""
