"""The command: options, plan, one job after the other, reports."""
