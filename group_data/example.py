"""What differs in the example fleet: its name and its addresses."""

environment = "example"

floating = {"address": "203.0.113.20", "prefix": 24, "router_id": 51}

backup_repository = {"kind": "sftp", "host": "backup.example.com", "user": "ipex-backup", "path": "/srv/ipex"}
