"""Papers on contrastive learning and relations between samples."""
