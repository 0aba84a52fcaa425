"""What every command shares: settings, the runner, the sidecar, findings, trainings, the ledger."""
