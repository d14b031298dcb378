"""Grafana's dashboards as code: what they ask comes from the catalogue and the user's config."""
