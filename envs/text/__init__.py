"""Text tasks: problems posed and answered one token a step, and verifiers that may miss right answers."""
