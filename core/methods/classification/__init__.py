"""Papers on losses for classification and on calibration."""
