//! The steps of an apply, by name. Decides nothing: programs pass by; a test kills the process at one of them.

/// What has just been done, in the order of an apply, then of what may follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    FolderMade,
    TempMade,
    HalfWritten,
    Written,
    Owned,
    Checked,
    Synced,
    Linked,
    BackedUp,
    LastKept,
    Renamed,
    FolderSynced,
    RolledBack,
    Settled,
}

/// Passes a step.
#[cfg(not(test))]
pub(super) fn at(_: Step) {}

/// Passes a step, or is killed there without a chance to clean up. Steps that come several times have a number.
#[cfg(test)]
pub(super) fn at(step: Step) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);
    if let Ok(kill_at) = std::env::var(KILL_AT) {
        let passed = PASSED.fetch_add(1, Ordering::Relaxed);
        eprintln!("step {passed}: {step:?}");
        if kill_at == passed.to_string() {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
    }
}

/// Set to the number of the step at which a test's helper process is killed.
#[cfg(test)]
pub(crate) const KILL_AT: &str = "LOBBY_TEST_KILL_AT";
