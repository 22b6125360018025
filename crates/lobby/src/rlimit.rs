//! The limit of open files: raised to its hard limit for us, given back to the commands we start.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises our limit of open files to the hard limit. Called once, at start.
pub fn raise() {
    let before = *BEFORE.get_or_init(|| getrlimit(Resource::Nofile));
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    if let Err(err) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!("the limit of open files stays: {err}");
    }
}

/// How many files we may have open; `None` is no limit.
pub fn current() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The same as for the commands of this crate, for a child of that process id that somebody else started.
pub fn restore(child: u32) {
    restore_for(i32::try_from(child).ok().and_then(Pid::from_raw));
}

/// Gives a child the limit that we were started with: some programs loop over every possible descriptor.
pub(crate) fn restore_for(child: Option<Pid>) {
    if let (Some(child), Some(before)) = (child, BEFORE.get()) {
        // The child may have ended already.
        let _ = prlimit(Some(child), Resource::Nofile, *before);
    }
}
