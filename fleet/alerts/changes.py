"""Alerts about changes of nodes, and what one needs when they go wrong: generations, drains, updates, backups."""

from fleet.alerts.alert import Alert

ROWS = (
    # Other alerts of the node's engines are held back by it (Alertmanager's inhibit_rules).
    Alert(
        "NodeInTransaction",
        "none",
        "max by (node) (ipex_node_left_out) == 1",
        "{{ $labels.node }} is out of rotation on purpose: a change goes on, or an operator has drained it.",
    ),
    Alert(
        "DrainTooLong",
        "ticket",
        "max by (node, by) (ipex_node_left_out) == 1",
        "{{ $labels.node }} has been kept out of rotation by the {{ $labels.by }} for more than <left_out_for>.",
        "<left_out_for>",
    ),
    Alert(
        "GenerationDrift",
        "ticket",
        "sum by (node) (ipex_node_drift) > 0",
        "{{ $value }} things on {{ $labels.node }} are not as its generation has them.",
        "<odd_for>",
    ),
    # A generation stays in quarantine after it was mended: what is new within a day counts.
    Alert(
        "Quarantined",
        "ticket",
        "max by (node) (ipex_node_quarantined_generations - min_over_time(ipex_node_quarantined_generations[1d])) > 0",
        "A generation has failed on {{ $labels.node }} and was taken back.",
    ),
    Alert(
        "UpdateTooOld",
        "ticket",
        "time() - max by (node) (ipex_node_last_update_timestamp_seconds) > <update_age_seconds>",
        "{{ $labels.node }} has had no change for {{ $value | humanizeDuration }}.",
    ),
    # Of a node that never tried, nothing is known and nothing is said.
    Alert(
        "UpdateNotTaken",
        "ticket",
        'max by (node, outcome) (ipex_update_outcome{outcome=~"waited|stopped|refused|depot|failed"}) == 1',
        "{{ $labels.node }} has not taken what is published for it: {{ $labels.outcome }}.",
        "<odd_for>",
    ),
    Alert(
        "PublicationExpired",
        "ticket",
        "time() - max by (node) (ipex_update_offer_expires_timestamp_seconds) > 0",
        "What {{ $labels.node }} knows to be published has expired {{ $value | humanizeDuration }} ago.",
    ),
    # A generation's name is its node's own; this much all nodes share. A gateway has nothing of the flake.
    Alert(
        "ReleasesDiffer",
        "ticket",
        'count(count by (program) (ipex_node_release_info{program!=""})) > 1'
        ' or count(count by (flake) (ipex_node_release_info{flake!=""})) > 1',
        "The nodes run {{ $value }} different releases of ipex-fleet, or of its flake.",
        "<differ_for>",
    ),
    # Of a node that nobody has told of a backup, nothing is known and nothing is said.
    Alert(
        "BackupTooOld",
        "ticket",
        "time() - max by (node, backup) (ipex_backup_last_success_timestamp_seconds) > <backup_age_seconds>",
        "The backup {{ $labels.backup }} of {{ $labels.node }} is {{ $value | humanizeDuration }} old.",
    ),
    Alert(
        "BackupFailed",
        "ticket",
        "max by (node, backup) (ipex_backup_failed) == 1",
        "The last attempt at the backup {{ $labels.backup }} of {{ $labels.node }} has failed.",
    ),
    Alert(
        "ReleaseSlower",
        "ticket",
        "max by (node, service, model) (ipex_baseline_regressed) == 1",
        "{{ $labels.service }} on {{ $labels.node }} is slower with {{ $labels.model }} than the release before.",
    ),
    Alert(
        "OptimizerFailed",
        "ticket",
        "max by (node, task) (ipex_optimizer_failed) == 1",
        "The optimizer's {{ $labels.task }} has failed on {{ $labels.node }}.",
        "<odd_for>",
    ),
    Alert(
        "BackupRotten",
        "ticket",
        "max by (node) (ipex_backup_verify_failures) > 0",
        "{{ $value }} parts of the backups of {{ $labels.node }} are not what was given.",
    ),
    Alert(
        "RestoreTestFailed",
        "ticket",
        "max by (node) (ipex_backup_restore_test_failed) == 1",
        "What is kept of {{ $labels.node }} could not be restored when it was tried.",
    ),
    # A node on which none has succeeded yet says so by the alert above.
    Alert(
        "RestoreTestTooOld",
        "ticket",
        "time() - max by (node) (ipex_backup_restore_test_timestamp_seconds) > <restore_test_age_seconds>",
        "The last restore tried on {{ $labels.node }} is {{ $value | humanizeDuration }} ago.",
    ),
)
