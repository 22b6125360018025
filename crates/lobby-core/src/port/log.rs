//! The log of the running agent, for outputs that show it to somebody: each line goes to whoever listens at the moment.
//!
//! ```text
//! whoever formats lines ──put──► Log ──one bounded queue each──► monitors
//!        ▲──── wanted ───────────┘
//! ```
//! While nobody listens nothing is wanted, so nothing is formatted. Whoever is slow loses lines, which are counted.
//! Not here: how lines look and what is logged at all (`lobbyd`).

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Most monitors at a time: a few people who look for one thing, and a forgotten window or two.
pub const MONITORS: usize = 16;

/// Lines that wait for one monitor.
pub const LINES: usize = 512;

/// Longest line in bytes. A longer one is dropped, and counted.
pub const LINE_BYTES: usize = 8192;

/// How much is shown: all that is as urgent, and what is more so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What should not be.
    Error = 1,
    /// What may become an error.
    Warn = 2,
    /// What an operator wants to know.
    Info = 3,
    /// What helps to find an error.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text = 0,
    /// An object each.
    Json = 1,
}

/// Takes lines and hands them to monitors. Cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    /// For each form the level of whoever wants most; 0: nobody listens.
    wanted: [AtomicU8; 2],
    listeners: Mutex<Listeners>,
    changed: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Listeners {
    number: u64,
    list: Vec<Listener>,
}

struct Listener {
    number: u64,
    form: Form,
    level: Level,
    lines: mpsc::Sender<Bytes>,
    dropped: Arc<AtomicU64>,
}

/// One who listens, until it is dropped.
pub struct Monitor {
    number: u64,
    lines: mpsc::Receiver<Bytes>,
    dropped: Arc<AtomicU64>,
    log: Log,
}

/// What a monitor is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A line, with its end.
    Line(Bytes),
    /// So many lines were dropped since this was told last.
    Dropped(u64),
}

impl Log {
    /// Calls `changed` when something else is wanted than before.
    pub fn new(changed: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { wanted: Default::default(), listeners: Mutex::default(), changed: Box::new(changed) }))
    }

    /// How much somebody wants in this form; `None`: nobody listens.
    pub fn wanted(&self, form: Form) -> Option<Level> {
        let wanted = self.0.wanted[form as usize].load(Relaxed);
        [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace].into_iter().find(|level| *level as u8 == wanted)
    }

    /// Hands a line, with its end, to whoever wants it. Never waits for them.
    pub fn put(&self, form: Form, level: Level, line: &[u8]) {
        if self.wanted(form) < Some(level) {
            return;
        }
        let shared = (line.len() <= LINE_BYTES).then(|| Bytes::copy_from_slice(line));
        for listener in &self.listeners().list {
            if listener.form == form && listener.level >= level {
                let is_taken = shared.as_ref().is_some_and(|line| listener.lines.try_send(line.clone()).is_ok());
                listener.dropped.fetch_add(u64::from(!is_taken), Relaxed);
            }
        }
    }

    /// Listens from now on; `None` while [`MONITORS`] do.
    pub fn monitor(&self, form: Form, level: Level) -> Option<Monitor> {
        let (sender, lines) = mpsc::channel(LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let number = {
            let mut listeners = self.listeners();
            if listeners.list.len() >= MONITORS {
                return None;
            }
            listeners.number += 1;
            let number = listeners.number;
            listeners.list.push(Listener { number, form, level, lines: sender, dropped: dropped.clone() });
            self.settle(&listeners);
            number
        };
        // Not under the lock: whoever is told may look at what is wanted, or log.
        (self.0.changed)();
        Some(Monitor { number, lines, dropped, log: self.clone() })
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, listeners: &Listeners) {
        for form in [Form::Text, Form::Json] {
            let levels = listeners.list.iter().filter(|listener| listener.form == form).map(|listener| listener.level as u8);
            self.0.wanted[form as usize].store(levels.max().unwrap_or(0), Relaxed);
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Monitor {
    /// The next news. Told that lines were dropped, the monitor has seen all that came before them or will see it next.
    pub fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        match self.dropped.swap(0, Relaxed) {
            // The log is held here, and with it the other end.
            0 => self.lines.poll_recv(cx).map(|line| News::Line(line.unwrap_or_default())),
            dropped => Poll::Ready(News::Dropped(dropped)),
        }
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").finish_non_exhaustive()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        {
            let mut listeners = self.log.listeners();
            listeners.list.retain(|listener| listener.number != self.number);
            self.log.settle(&listeners);
        }
        (self.log.0.changed)();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn log() -> (Log, Arc<AtomicU64>) {
        let n_changes = Arc::new(AtomicU64::new(0));
        let counter = n_changes.clone();
        (Log::new(move || _ = counter.fetch_add(1, Relaxed)), n_changes)
    }

    fn news(monitor: &mut Monitor) -> Option<News> {
        match monitor.poll_news(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(news) => Some(news),
            Poll::Pending => None,
        }
    }

    fn line(text: &'static str) -> Option<News> {
        Some(News::Line(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn each_hears_what_it_asked_for_and_nobody_costs_nothing() {
        let (log, n_changes) = log();
        assert_eq!((log.wanted(Form::Text), log.wanted(Form::Json)), (None, None));
        log.put(Form::Text, Level::Error, b"lost\n");
        let mut warns = log.monitor(Form::Text, Level::Warn).unwrap();
        let mut all = log.monitor(Form::Text, Level::Trace).unwrap();
        let mut json = log.monitor(Form::Json, Level::Info).unwrap();
        assert_eq!((log.wanted(Form::Text), log.wanted(Form::Json)), (Some(Level::Trace), Some(Level::Info)));
        log.put(Form::Text, Level::Debug, b"a\n");
        log.put(Form::Text, Level::Warn, b"b\n");
        log.put(Form::Json, Level::Info, b"{}\n");
        assert_eq!((news(&mut warns), news(&mut warns)), (line("b\n"), None));
        assert_eq!((news(&mut all), news(&mut all), news(&mut all)), (line("a\n"), line("b\n"), None));
        assert_eq!((news(&mut json), news(&mut json)), (line("{}\n"), None));
        drop(all);
        assert_eq!(log.wanted(Form::Text), Some(Level::Warn));
        drop((warns, json));
        assert_eq!((log.wanted(Form::Text), log.wanted(Form::Json)), (None, None));
        assert_eq!(n_changes.load(Relaxed), 6);
    }

    #[test]
    fn who_is_slow_loses_lines_and_is_told_how_many() {
        let (log, _) = log();
        let mut slow = log.monitor(Form::Text, Level::Info).unwrap();
        (0..LINES).for_each(|_| log.put(Form::Text, Level::Info, b"x\n"));
        assert_eq!(news(&mut slow), line("x\n"), "so many have room");
        log.put(Form::Text, Level::Info, b"last\n");
        (0..3).for_each(|_| log.put(Form::Text, Level::Info, b"y\n"));
        assert_eq!(news(&mut slow), Some(News::Dropped(3)));
        assert!((1..LINES).all(|_| news(&mut slow) == line("x\n")));
        assert_eq!((news(&mut slow), news(&mut slow)), (line("last\n"), None));
        log.put(Form::Text, Level::Info, &[b'x'; LINE_BYTES]);
        assert!(matches!(news(&mut slow), Some(News::Line(line)) if line.len() == LINE_BYTES));
        log.put(Form::Text, Level::Info, &[b'x'; LINE_BYTES + 1]);
        assert_eq!((news(&mut slow), news(&mut slow)), (Some(News::Dropped(1)), None));
    }

    #[test]
    fn there_are_so_many_places() {
        let (log, _) = log();
        let mut all: Vec<_> = (0..MONITORS).map(|_| log.monitor(Form::Json, Level::Error).unwrap()).collect();
        assert!(log.monitor(Form::Text, Level::Error).is_none());
        all.pop();
        assert!(log.monitor(Form::Text, Level::Error).is_some());
    }
}
