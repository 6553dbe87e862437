"""What finished runs say: tables, statistics, verdicts on claims, pages."""
