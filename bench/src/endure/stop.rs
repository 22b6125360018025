//! Whether somebody wants the run to end: SIGINT and SIGTERM end it as its time does, with its table, and clean up.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// Asked for or not.
#[derive(Clone)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the two signals only ask.
    pub(super) fn at_signals() -> Self {
        let stop = Self(Arc::new(AtomicBool::new(false)));
        let asked = stop.0.clone();
        let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime for signals");
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            let of = |kind| signal(kind).expect("these signals can be taken");
            (of(SignalKind::interrupt()), of(SignalKind::terminate()))
        };
        // Lives as long as the program.
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            asked.store(true, Ordering::Relaxed);
        });
        stop
    }

    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
