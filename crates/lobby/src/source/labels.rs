//! Labels: from the environment, from the label folder, and those added through the API.
//!
//! One task owns all three and sends their union to the node task. It also carries out the label commands: validate,
//! save, publish, then acknowledge. Not here: when to look at the folder (`watch`), how it is read (`folder`).

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use lobby_core::{
    label::{self, Label},
    port::{Command, CommandError},
    stats::AgentStats,
};
use lobby_exchange::file;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    blocking,
    folder::{self, Contents, Problems},
    scan::Scan,
    watch::{Hint, Watch},
};
use crate::node::Update;

#[cfg(test)]
mod tests;

/// Name of the file in DATA_DIR that keeps runtime labels while LABELS_PATH cannot be written. While it exists, the
/// runtime file in LABELS_PATH is out of date and not listened to.
const FALLBACK: &str = "runtime_labels";

/// Reads the fixed labels again, for a reload, with the number of those refused; the error is a text for people.
pub type ReadFixed = Arc<dyn Fn() -> Result<(Vec<Label>, usize), String> + Send + Sync>;

/// Where labels come from.
#[derive(Clone, Default)]
pub struct LabelsConfig {
    /// Labels of the environment or the configuration.
    pub fixed: Vec<Label>,
    /// How many more there were that broke their rules, for the counters.
    pub refused_fixed: usize,
    /// How to read them again; without it they stay what they are.
    pub read_fixed: Option<ReadFixed>,
    /// LABELS_PATH.
    pub folder: Option<PathBuf>,
    /// RUNTIME_LABELS_FILENAME: the file in the folder that is written through the API.
    pub runtime_filename: String,
}

/// The task's state.
pub(crate) struct Labels {
    fixed: Vec<Label>,
    refused_fixed: usize,
    read_fixed: Option<ReadFixed>,
    places: Arc<Places>,
    runtime: BTreeSet<Label>,
    files: Vec<Label>,
    scan: Scan,
    problems: Problems,
    told_of_fallback: bool,
    stats: Arc<AgentStats>,
}

impl Labels {
    /// Reads every source once, so that nothing is announced before all are known.
    pub(crate) fn load(config: LabelsConfig, data_dir: Option<&Path>, stats: Arc<AgentStats>) -> Self {
        let fallback = data_dir.map(|folder| folder.join(FALLBACK));
        let places = Places { folder: config.folder, runtime_filename: config.runtime_filename, fallback };
        let (scan, contents) = places.read();
        let mut labels = Self {
            fixed: config.fixed,
            refused_fixed: config.refused_fixed,
            read_fixed: config.read_fixed,
            places: Arc::new(places),
            runtime: BTreeSet::new(),
            files: Vec::new(),
            scan: Scan::default(),
            problems: Problems::default(),
            told_of_fallback: false,
            stats,
        };
        labels.take(scan, contents);
        labels
    }

    /// The union of all sources, sorted, for the node task. What is refused or will be left out of it is counted.
    pub(crate) fn counted(&self) -> Vec<Label> {
        let all = self.all();
        let refused = self.refused_fixed + self.problems.count + n_left_out(&all);
        self.stats.labels_refused.store(refused as u64, Ordering::Relaxed);
        all
    }

    fn all(&self) -> Vec<Label> {
        let all: BTreeSet<_> = self.fixed.iter().chain(&self.files).chain(&self.runtime).cloned().collect();
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
        let mut watch = Watch::start("label files");
        let places = self.places.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(command) = commands.recv() => self.carry_out(command, &updates, &leave).await,
                hint = watch.hint(places.folder.as_deref()) => match hint {
                    Hint::Changed => self.follow(&updates).await,
                    Hint::Look => self.look(&updates).await,
                },
            }
        }
    }

    /// Reads the files if they look different, or may be different without looking so.
    async fn look(&mut self, updates: &mpsc::Sender<Update>) {
        let Some(folder) = self.places.folder.clone() else { return };
        let scan = blocking(move || folder::scan(&folder)).await;
        if scan != self.scan || self.scan.fresh {
            self.follow(updates).await;
        }
    }

    /// Reads the files, whatever they look like, and tells the node task.
    async fn follow(&mut self, updates: &mpsc::Sender<Update>) {
        self.reread().await;
        // The node task ends before its sources only at a stop.
        let _ = updates.send(Update::Labels(self.counted(), None)).await;
    }

    async fn reread(&mut self) {
        let places = self.places.clone();
        let (scan, contents) = blocking(move || places.read()).await;
        self.take(scan, contents);
    }

    fn take(&mut self, scan: Scan, contents: Contents) {
        if contents.problems != self.problems {
            contents.problems.log();
        }
        self.scan = scan;
        self.files = contents.files;
        self.runtime = contents.runtime.into_iter().collect();
        self.problems = contents.problems;
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
        if let Some(read) = self.read_fixed.clone() {
            let fixed = blocking(move || read()).await;
            (self.fixed, self.refused_fixed) = fixed.map_err(|err| CommandError::NotReloaded(err.into()))?;
        }
        self.reread().await;
        self.publish(updates).await
    }

    async fn change_runtime(&mut self, runtime: BTreeSet<Label>, updates: &mpsc::Sender<Update>) -> Result<(), CommandError> {
        if runtime == self.runtime {
            return Ok(());
        }
        let old = std::mem::replace(&mut self.runtime, runtime);
        if n_left_out(&self.all()) > 0 && self.runtime.len() > old.len() {
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
        let update = Update::Labels(self.counted(), Some(done));
        updates.send(update).await.map_err(|_| CommandError::Stopping)?;
        published.await.map_err(|_| CommandError::Stopping)
    }

    async fn save(&mut self) -> io::Result<()> {
        let text: String = self.runtime.iter().map(|label| format!("{label}\n")).collect();
        let places = self.places.clone();
        let trouble = blocking(move || places.save(text.as_bytes())).await?;
        if let Some(err) = trouble
            && !std::mem::replace(&mut self.told_of_fallback, true)
        {
            tracing::warn!("runtime labels are kept in the data folder: LABELS_PATH cannot be written: {err}");
        }
        Ok(())
    }
}

/// How many of these sorted labels are above what one node may have.
fn n_left_out(labels: &[Label]) -> usize {
    labels.len() - label::kept(labels)
}

/// Where the files are, for the work that blocks.
struct Places {
    /// LABELS_PATH.
    folder: Option<PathBuf>,
    runtime_filename: String,
    /// [`FALLBACK`], when there is a DATA_DIR.
    fallback: Option<PathBuf>,
}

impl Places {
    fn read(&self) -> (Scan, Contents) {
        let scan = self.folder.as_deref().map(folder::scan).unwrap_or_default();
        let contents = folder::read(&scan, &self.runtime_filename, self.fallback.as_deref());
        (scan, contents)
    }

    /// Saves the runtime labels in LABELS_PATH or, where that cannot be written, in DATA_DIR; then it says why.
    fn save(&self, text: &[u8]) -> io::Result<Option<io::Error>> {
        let save_fallback = || match &self.fallback {
            Some(path) => file::replace(path, 0o644, text),
            // Without any folder the labels last as long as the process, which is what a throw-away agent wants.
            None => Ok(()),
        };
        let Some(folder) = &self.folder else { return save_fallback().map(|()| None) };
        let saved = fs::create_dir_all(folder)
            .and_then(|()| file::replace(&folder.join(&self.runtime_filename), 0o644, text))
            .and_then(|()| self.forget_fallback());
        match saved {
            Ok(()) => Ok(None),
            Err(err) if self.fallback.is_some() => save_fallback().map(|()| Some(err)),
            Err(err) => Err(io::Error::other(format!("LABELS_PATH cannot be written ({err}) and there is no DATA_DIR"))),
        }
    }

    /// After LABELS_PATH became writable the old copy would go on to stand for the runtime file.
    fn forget_fallback(&self) -> io::Result<()> {
        match self.fallback.as_ref().map(fs::remove_file) {
            Some(Err(err)) if err.kind() != io::ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    }
}
