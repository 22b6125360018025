//! Limits of this process: as many open files as it may have, and no core dump, because keys and tokens are in its memory.
//! The commands we start get those that we were given.
//!
//! Not here: `PR_SET_DUMPABLE`, which would give `/proc/PID` of an agent without rights to root.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// The most bytes of a core dump. Less than any has, and the one value at which the kernel does not start the program of
/// `core_pattern` either: where that is a pipe, 0 counts for nothing.
const CORE: u64 = 1;

static BEFORE: OnceLock<Limits> = OnceLock::new();

/// The limits that are changed, as they were.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    files: Rlimit,
    core: Rlimit,
}

impl Limits {
    /// As they are now.
    pub fn current() -> Self {
        Self { files: getrlimit(Resource::Nofile), core: getrlimit(Resource::Core) }
    }

    /// Makes them ours again, for a new start in the same process.
    pub fn restore(self) {
        set(Resource::Nofile, self.files);
        set(Resource::Core, self.core);
    }
}

/// Takes as many open files as there may be, and ends core dumps. Called once, at start.
pub fn take() {
    let before = *BEFORE.get_or_init(Limits::current);
    set(Resource::Nofile, Rlimit { current: before.files.maximum, maximum: before.files.maximum });
    // The hard limit stays: only root could give it back to a command.
    let current = before.core.maximum.map_or(CORE, |most| most.min(CORE));
    set(Resource::Core, Rlimit { current: Some(current), maximum: before.core.maximum });
}

/// How many files we may have open; `None` is no limit.
pub fn current() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The same as for the commands of this crate, for a child of that process id that somebody else started.
pub fn restore(child: u32) {
    restore_for(i32::try_from(child).ok().and_then(Pid::from_raw));
}

/// Gives a child the limits that we were started with: some programs loop over every possible descriptor.
pub(crate) fn restore_for(child: Option<Pid>) {
    if let (Some(child), Some(before)) = (child, BEFORE.get()) {
        // The child may have ended already.
        let _ = prlimit(Some(child), Resource::Nofile, before.files);
        let _ = prlimit(Some(child), Resource::Core, before.core);
    }
}

fn set(resource: Resource, limit: Rlimit) {
    if let Err(err) = setrlimit(resource, limit) {
        tracing::debug!(?resource, "this limit stays: {err}");
    }
}
