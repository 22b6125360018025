//! Labels: from the environment, from the label folder, and those added through the API.
//!
//! One task owns all three and sends their union to the node task. It also carries out the label commands: validate,
//! save, publish, then acknowledge. inotify tells of changes at once; a look each second catches what it cannot see
//! (a folder made later, the target of a symbolic link, a file system without inotify).

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use lobby_core::{
    label::Label,
    limits,
    port::{Command, CommandError},
    stats::AgentStats,
};
use notify::{RecursiveMode, Watcher};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::folder::{self, Scan};
use crate::{node::Update, store::replace_file};

/// How often the folder is looked at, whatever inotify says.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Name of the file in DATA_DIR that keeps runtime labels while LABELS_PATH cannot be written.
const FALLBACK: &str = "runtime_labels";

/// Reads the fixed labels again, for a reload; the error is a text for people.
pub type ReadFixed = Arc<dyn Fn() -> Result<Vec<Label>, String> + Send + Sync>;

/// Where labels come from.
#[derive(Clone, Default)]
pub struct LabelsConfig {
    /// Labels of the environment or the configuration.
    pub fixed: Vec<Label>,
    /// How to read them again; without it they stay what they are.
    pub read_fixed: Option<ReadFixed>,
    /// LABELS_PATH.
    pub folder: Option<PathBuf>,
    /// RUNTIME_LABELS_FILENAME: the file in the folder that is written through the API.
    pub runtime_filename: String,
}

/// The task's state.
pub(crate) struct Labels {
    config: LabelsConfig,
    data_dir: Option<PathBuf>,
    runtime: BTreeSet<Label>,
    files: Vec<Label>,
    scan: Scan,
    told_of_fallback: bool,
    stats: Arc<AgentStats>,
}

impl Labels {
    /// Reads every source once, so that nothing is announced before all are known.
    pub(crate) fn load(config: LabelsConfig, data_dir: Option<PathBuf>, stats: Arc<AgentStats>) -> Self {
        let mut labels = Self {
            config,
            data_dir,
            runtime: BTreeSet::new(),
            files: Vec::new(),
            scan: Scan::default(),
            told_of_fallback: false,
            stats,
        };
        if let Some(folder) = &labels.config.folder {
            labels.scan = folder::scan(folder);
        }
        labels.reread();
        labels
    }

    /// The union of all sources, sorted.
    pub(crate) fn all(&self) -> Vec<Label> {
        let all: BTreeSet<_> = self.config.fixed.iter().chain(&self.files).chain(&self.runtime).cloned().collect();
        all.into_iter().collect()
    }

    /// Runs until `stop`: follows the folder, carries out commands. `leave` is what a leave command cancels.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        updates: mpsc::Sender<Update>,
        leave: CancellationToken,
        stop: CancellationToken,
    ) {
        // One pending nudge is enough: it means "look again".
        let (nudge, mut nudged) = mpsc::channel(1);
        let mut watcher = Watch::start(nudge);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(command) = commands.recv() => self.carry_out(command, &updates, &leave).await,
                Some(()) = nudged.recv() => self.look(&updates).await,
                _ = ticks.tick() => {
                    if let Some(folder) = &self.config.folder {
                        watcher.follow(folder);
                    }
                    self.look(&updates).await;
                }
            }
        }
    }

    async fn look(&mut self, updates: &mpsc::Sender<Update>) {
        let Some(folder) = self.config.folder.clone() else { return };
        let scan = blocking(move || folder::scan(&folder)).await;
        if scan != self.scan {
            self.scan = scan;
            self.reread();
            // The node task ends before its sources only at a stop.
            let _ = updates.send(Update::Labels(self.all(), None)).await;
        }
    }

    /// Reads what the last scan saw.
    fn reread(&mut self) {
        let contents = folder::read(&self.scan, &self.config.runtime_filename);
        for problem in &contents.problems {
            tracing::warn!("{problem}");
        }
        self.stats.labels_refused.store(contents.problems.len() as u64, Ordering::Relaxed);
        self.files = contents.files;
        self.runtime = contents.runtime.into_iter().collect();
        let fallback = self.data_dir.as_ref().and_then(|folder| std::fs::read_to_string(folder.join(FALLBACK)).ok());
        self.runtime.extend(Label::split_lines(fallback.as_deref().unwrap_or_default()).flatten());
    }

    async fn carry_out(&mut self, command: Command, updates: &mpsc::Sender<Update>, leave: &CancellationToken) {
        let (answer, result) = match command {
            Command::AddLabels(labels, answer) => {
                let mut runtime = self.runtime.clone();
                runtime.extend(labels);
                (answer, self.change_runtime(runtime, updates).await)
            }
            Command::RemoveLabels(labels, answer) => {
                let mut runtime = self.runtime.clone();
                for label in labels {
                    runtime.remove(&label);
                }
                (answer, self.change_runtime(runtime, updates).await)
            }
            Command::Reload(answer) => (answer, self.reload(updates).await),
            Command::Leave(answer) => {
                leave.cancel();
                (answer, Ok(()))
            }
        };
        // The one who asked may have gone away; what was done stays done.
        let _ = answer.send(result);
    }

    /// Reads every source again, also files that look the same. A configuration that is no longer good changes nothing.
    async fn reload(&mut self, updates: &mpsc::Sender<Update>) -> Result<(), CommandError> {
        if let Some(read) = self.config.read_fixed.clone() {
            let fixed = blocking(move || read()).await;
            self.config.fixed = fixed.map_err(|err| CommandError::NotReloaded(err.into()))?;
        }
        if let Some(folder) = self.config.folder.clone() {
            self.scan = blocking(move || folder::scan(&folder)).await;
        }
        self.reread();
        self.publish(updates).await
    }

    async fn change_runtime(&mut self, runtime: BTreeSet<Label>, updates: &mpsc::Sender<Update>) -> Result<(), CommandError> {
        if runtime == self.runtime {
            return Ok(());
        }
        let old = std::mem::replace(&mut self.runtime, runtime);
        if self.all().len() > limits::LABELS && self.runtime.len() > old.len() {
            self.runtime = old;
            return Err(CommandError::TooManyLabels);
        }
        if let Err(err) = self.save().await {
            self.runtime = old;
            return Err(CommandError::NotSaved(err.to_string().into()));
        }
        self.publish(updates).await
    }

    /// Hands all labels to the node task and waits until a snapshot shows them.
    async fn publish(&self, updates: &mpsc::Sender<Update>) -> Result<(), CommandError> {
        let (done, published) = oneshot::channel();
        let update = Update::Labels(self.all(), Some(done));
        updates.send(update).await.map_err(|_| CommandError::Stopping)?;
        published.await.map_err(|_| CommandError::Stopping)
    }

    /// Saves the runtime labels in LABELS_PATH or, where that cannot be written, in DATA_DIR.
    async fn save(&mut self) -> io::Result<()> {
        let text: String = self.runtime.iter().map(|label| format!("{label}\n")).collect();
        let text = Arc::new(text);
        let Some(folder) = self.config.folder.clone() else { return self.save_fallback(text).await };
        let path = folder.join(&self.config.runtime_filename);
        let content = text.clone();
        let saved = blocking(move || {
            std::fs::create_dir_all(&folder)?;
            replace_file(&path, 0o644, content.as_bytes())?;
            io::Result::Ok(folder::scan(&folder))
        });
        match saved.await {
            Ok(scan) => {
                // Our own write is no news.
                self.scan = scan;
                self.forget_fallback();
                Ok(())
            }
            Err(err) if self.data_dir.is_some() => {
                if !std::mem::replace(&mut self.told_of_fallback, true) {
                    tracing::warn!("runtime labels are kept in the data folder: LABELS_PATH cannot be written: {err}");
                }
                self.save_fallback(text).await
            }
            Err(err) => Err(io::Error::other(format!("LABELS_PATH cannot be written ({err}) and there is no DATA_DIR"))),
        }
    }

    async fn save_fallback(&self, text: Arc<String>) -> io::Result<()> {
        // Without any folder the labels last as long as the process, which is what a throw-away agent wants.
        let Some(path) = self.data_dir.as_ref().map(|folder| folder.join(FALLBACK)) else { return Ok(()) };
        blocking(move || replace_file(&path, 0o644, text.as_bytes())).await
    }

    /// After LABELS_PATH became writable the old copy would bring deleted labels back.
    fn forget_fallback(&self) {
        if let Some(folder) = &self.data_dir {
            let _ = std::fs::remove_file(folder.join(FALLBACK));
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("file work does not panic and is never aborted")
}

/// inotify on the label folder, renewed when the folder is replaced.
struct Watch {
    watcher: Option<notify::RecommendedWatcher>,
    watched: Option<(PathBuf, u64)>,
}

impl Watch {
    fn start(nudge: mpsc::Sender<()>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an access; only a finished write is news.
            let reading = notify::EventKind::is_access;
            if event.is_ok_and(|event| !reading(&event.kind) || is_finished_write(&event.kind)) {
                // A full queue already says "look again".
                let _ = nudge.try_send(());
            }
        });
        if let Err(err) = &watcher {
            tracing::warn!("label files are looked at once a second only: {err}");
        }
        Self { watcher: watcher.ok(), watched: None }
    }

    fn follow(&mut self, folder: &Path) {
        use std::os::unix::fs::MetadataExt;
        let Some(watcher) = &mut self.watcher else { return };
        let now = std::fs::metadata(folder).ok().map(|metadata| (folder.to_owned(), metadata.ino()));
        if now == self.watched {
            return;
        }
        if self.watched.is_some() {
            // The old folder is gone; so may be its watch.
            let _ = watcher.unwatch(folder);
        }
        self.watched = now.filter(|_| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok());
    }
}

fn is_finished_write(kind: &notify::EventKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    matches!(kind, notify::EventKind::Access(AccessKind::Close(AccessMode::Write)))
}
