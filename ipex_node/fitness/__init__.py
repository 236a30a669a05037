"""Whether a machine is fit for its services: judged in judge.py, for the deploy and for doctor.py alike."""
