//! What is registered at this agent, and what its registry and its journal count, as metrics.
//!
//! How much there is, is read from the registry's view. Not here: the counting (the crate `lobby`).

use lobby_core::{
    check::Status,
    port::registry::RegistryHandle,
    stats::{JournalCounts, RegistryCounts},
};

use super::text::{Kind::Counter, Kind::Gauge, Text};

pub(super) fn write(text: &mut Text, registry: &RegistryHandle) {
    let view = registry.view();
    text.family("lobby_registry_instances", Gauge, "Instances that are registered here; those that labels make do not count.")
        .value(view.instances.len());
    let mut checks = [0_u32; Status::ALL.len()];
    view.checks.values().for_each(|check| checks[check.status as usize] += 1);
    let mut family = text.family("lobby_registry_checks", Gauge, "Checks that are registered here, by the status shown.");
    for status in Status::ALL {
        family.sample(&[("status", status.as_str())], checks[status as usize]);
    }
    let Some(counts) = registry.counts() else { return };
    counted(text, &counts);
    if let Some(journal) = counts.journal {
        journaled(text, &journal);
    }
}

fn counted(text: &mut Text, counts: &RegistryCounts) {
    text.family("lobby_check_runs_total", Counter, "Checks that were carried out.").value(counts.runs);
    text.family("lobby_check_late_runs_total", Counter, "Those of them that began more than a second late.")
        .value(counts.late_runs);
    text.family(
        "lobby_registry_taken_away_total",
        Counter,
        "Instances taken away: critical for too long, or their process or connection had ended.",
    )
    .value(counts.taken_away);
    text.family("lobby_registry_refused_total", Counter, "Commands to the registry that were refused.").value(counts.refused);
    text.family("lobby_registry_jobs", Gauge, "Commands to the registry that are under way or wait for another one.")
        .value(counts.jobs);
}

fn journaled(text: &mut Text, journal: &JournalCounts) {
    text.family("lobby_journal_bytes", Gauge, "Size of the journal of registrations.").value(journal.file_bytes);
    text.family("lobby_journal_live_bytes", Gauge, "Size that it would have with what still counts alone.")
        .value(journal.live_bytes);
    text.family("lobby_journal_entries_total", Counter, "Entries made durable.").value(journal.appended);
    text.family("lobby_journal_entries_refused_total", Counter, "Entries refused: the journal was full, or the disk failed.")
        .value(journal.refused);
    text.family("lobby_journal_commits_total", Counter, "Groups of entries made durable, each by one sync.")
        .value(journal.commits);
    text.family("lobby_journal_commits_failed_total", Counter, "Groups of entries that the disk refused.")
        .value(journal.commits_failed);
    text.family("lobby_journal_compactions_failed_total", Counter, "Times that the journal could not be made shorter.")
        .value(journal.compactions_failed);
}
