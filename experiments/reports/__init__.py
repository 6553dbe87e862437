"""Reports on finished runs: tables, statistics, verdicts on claims, pages."""
