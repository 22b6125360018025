//! Nodes without an agent: what is written here, and what others wrote, kept on disk.
//!
//! ```text
//! batches ─► next versions ─► journal (durable) ─► node task (published) ─► acknowledged
//! snapshots ─► what others wrote ─► journal
//! ```
//! Batches that wait are taken together and share a sync of the disk; each is computed upon those before it, and fails with
//! them. What others wrote is handed to the journal as it comes; what it cannot take is tried again with the next snapshot,
//! and every [`RETRY`].
//! Tags that others give to an agent's instances are kept among them; that agent takes them away with the instance.
//! Not here: which version counts (`lobby_core::external`, the catalog), how versions travel (exchanges).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use imbl::{OrdMap, ordmap::DiffItem};
use lobby_core::{
    catalog::{Outcome, Snapshot},
    external::{
        Change, is_from_the_future, next,
        tags::{open_to_tags, tagged},
    },
    id::{NodeId, Origin},
    limits,
    name::Name,
    port::{
        CatalogReader,
        external::{Batch, ExternalError, NODES, Write},
    },
    proof::Signer,
    record::Record,
    wire::binary,
};
use lobby_exchange::clock::unix_micros;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    node::Update,
    registry::journal::{AppendError, Journal, Limits, Pending},
    source::blocking,
    store::{Store, StoreError},
};

/// Batches taken at once.
const TOGETHER: usize = 64;

/// Between two tries to save what the journal could not take.
const RETRY: Duration = Duration::from_secs(5);

/// Most that a journal of all nodes holds: each may be as large as a record, but few are larger than a kilobyte.
const LIMITS: Limits = Limits { live_bytes: 64 << 20, ..Limits::DEFAULT };

/// What is on disk.
pub(crate) struct Disk {
    journal: Option<Journal>,
    /// What an earlier process kept.
    pub(crate) records: Vec<Arc<Record>>,
}

impl Disk {
    /// Opens the journal, if there is a data folder.
    pub(crate) async fn open(store: &Store) -> Result<Self, StoreError> {
        let Some(folder) = store.folder().map(Path::to_owned) else {
            return Ok(Self { journal: None, records: Vec::new() });
        };
        let opened = blocking(move || Journal::open(&folder.join("externals"), LIMITS)).await?;
        let records = opened.entries.values().filter_map(|value| binary::decode_record(value).ok());
        let records = records.filter(|record| record.is_external()).collect();
        Ok(Self { journal: Some(opened.journal), records })
    }
}

/// The task.
pub(crate) struct Externals {
    /// Signs what is written here: others see which agent did.
    signer: Arc<Signer>,
    journal: Option<Journal>,
    reader: CatalogReader,
    updates: mpsc::Sender<Update>,
    batches: mpsc::Receiver<Batch>,
    /// As the journal was told.
    saved: OrdMap<NodeId, Arc<Record>>,
    /// What it could not take.
    unsaved: BTreeSet<NodeId>,
    /// What it is writing without anybody waiting: which node, and whether it failed. Its queue bounds them.
    saving: JoinSet<(NodeId, Result<(), AppendError>)>,
}

/// A batch on its way to the disk.
struct Accepted {
    /// The nodes that it names, also those of which it changes nothing.
    touched: BTreeSet<NodeId>,
    records: Vec<Arc<Record>>,
    pending: Vec<Pending>,
    answer: oneshot::Sender<Result<(), ExternalError>>,
}

impl Externals {
    pub(crate) fn new(
        signer: Arc<Signer>,
        disk: Disk,
        reader: CatalogReader,
        updates: mpsc::Sender<Update>,
        batches: mpsc::Receiver<Batch>,
    ) -> Self {
        let saved = disk.records.into_iter().filter_map(|record| Some((record.origin.node_id()?, record))).collect();
        let (unsaved, saving) = (BTreeSet::new(), JoinSet::new());
        Self { signer, journal: disk.journal, reader, updates, batches, saved, unsaved, saving }
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut retry = tokio::time::interval(RETRY);
        retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let mut batches = Vec::new();
            tokio::select! {
                () = stop.cancelled() => break,
                n_batches = self.batches.recv_many(&mut batches, TOGETHER) => match n_batches {
                    0 => break,
                    _ => self.carry_out(batches).await,
                },
                changed = self.reader.changed() => match changed {
                    Ok(snapshot) => {
                        self.save(&snapshot);
                        self.take_back_tags(&snapshot).await;
                    }
                    Err(_) => break,
                },
                Some(saved) = self.saving.join_next() => self.note(saved.ok()),
                _ = retry.tick(), if !self.unsaved.is_empty() => {
                    let snapshot = self.reader.snapshot();
                    self.save(&snapshot);
                }
            }
        }
        if let Some(journal) = self.journal.take() {
            journal.close().await;
        }
    }

    async fn carry_out(&mut self, batches: Vec<Batch>) {
        let snapshot = self.reader.snapshot();
        let mut newest = HashMap::new();
        let mut accepted = Vec::new();
        for Batch { writes, answer } in batches {
            let records = compute(&snapshot, &newest, &self.signer, &writes);
            match records.and_then(|records| Ok((self.submit(&records)?, records))) {
                Ok((pending, records)) => {
                    newest.extend(records.iter().filter_map(|record| Some((record.origin.node_id()?, record.clone()))));
                    let touched = writes.iter().map(|write| NodeId::external(&write.name)).collect();
                    accepted.push(Accepted { touched, records, pending, answer });
                }
                // Whoever asked may be gone.
                Err(err) => _ = answer.send(Err(err)),
            }
        }
        // What rests on a version that does not count cannot count either, even if it changes nothing.
        let mut failed = HashMap::<NodeId, ExternalError>::new();
        for Accepted { touched, records, pending, answer } in accepted {
            let ids: Vec<_> = records.iter().filter_map(|record| record.origin.node_id()).collect();
            let result = match touched.iter().find_map(|id| failed.get(id)) {
                Some(err) => Err(err.clone()),
                None => self.finish(records, pending).await,
            };
            if let Err(err) = &result {
                failed.extend(ids.iter().map(|id| (*id, err.clone())));
                // What the disk has is not what we believe; the catalog sets it right.
                self.unsaved.extend(ids);
            }
            let _ = answer.send(result);
        }
    }

    /// Hands versions to the journal.
    fn submit(&mut self, records: &[Arc<Record>]) -> Result<Vec<Pending>, ExternalError> {
        let Some(journal) = &self.journal else { return Ok(Vec::new()) };
        let submit = |record: &Arc<Record>| journal.submit(key(record), Some(value(record)));
        let pending: Result<_, _> = records.iter().map(submit).collect();
        let pending = pending.map_err(|err| {
            self.unsaved.extend(records.iter().filter_map(|record| record.origin.node_id()));
            not_saved(&err)
        })?;
        for record in records {
            if let Some(id) = record.origin.node_id() {
                self.saved.insert(id, record.clone());
            }
        }
        Ok(pending)
    }

    /// Waits for the disk, then for the catalog.
    async fn finish(&mut self, records: Vec<Arc<Record>>, pending: Vec<Pending>) -> Result<(), ExternalError> {
        for pending in pending {
            pending.await.map_err(|err| not_saved(&err))?;
        }
        if records.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = records.iter().map(|record| record.name.clone()).collect();
        let (told, shown) = oneshot::channel();
        self.updates.send(Update::Externals(records, told)).await.map_err(|_| ExternalError::Stopping)?;
        let outcomes = shown.await.map_err(|_| ExternalError::Stopping)?;
        let refused = names.into_iter().zip(outcomes).find_map(|(name, outcome)| match outcome {
            Outcome::Applied => None,
            // Somebody else's version came meanwhile.
            Outcome::Stale | Outcome::Ours => Some(ExternalError::Changed(name)),
            Outcome::Refused => Some(ExternalError::TooMany),
        });
        refused.map_or(Ok(()), Err)
    }

    /// Keeps what others wrote, and forgets what the catalog has forgotten.
    fn save(&mut self, snapshot: &Snapshot) {
        let Some(journal) = &self.journal else { return };
        let mut changed: BTreeSet<_> = std::mem::take(&mut self.unsaved);
        for item in self.saved.diff(&snapshot.externals) {
            let (DiffItem::Add(id, _) | DiffItem::Remove(id, _) | DiffItem::Update { new: (id, _), .. }) = item;
            changed.insert(*id);
        }
        for id in changed {
            let record = snapshot.externals.get(&id);
            let key = Bytes::copy_from_slice(id.as_bytes());
            match journal.submit(key, record.map(|record| value(record))) {
                Ok(pending) => _ = self.saving.spawn(async move { (id, pending.await) }),
                // Larger than anything that is written here.
                Err(AppendError::TooLong { .. }) => {}
                Err(err) => {
                    tracing::debug!(%err, "a node without an agent is saved later");
                    self.unsaved.insert(id);
                }
            }
        }
        self.saved = snapshot.externals.clone();
    }

    /// Tags given to instances of ours go with them, so that the next of their id begins with its own.
    async fn take_back_tags(&mut self, snapshot: &Snapshot) {
        if let Some(write) = stray_tags(snapshot) {
            let answer = oneshot::channel().0;
            self.carry_out(vec![Batch { writes: vec![write], answer }]).await;
        }
    }

    /// What nobody waited for is on disk, or is tried again.
    fn note(&mut self, saved: Option<(NodeId, Result<(), AppendError>)>) {
        if let Some((id, Err(err))) = saved {
            tracing::debug!(%err, "a node without an agent is saved later");
            self.unsaved.insert(id);
        }
    }
}

/// With what the disk said.
fn not_saved(err: &AppendError) -> ExternalError {
    let causes = std::iter::successors(std::error::Error::source(err), |err| err.source());
    ExternalError::NotSaved(causes.fold(err.to_string(), |text, cause| format!("{text}: {cause}")).into())
}

/// The versions that these writes make, upon those of the snapshot and what was accepted after it.
fn compute(
    snapshot: &Snapshot,
    newest: &HashMap<NodeId, Arc<Record>>,
    signer: &Signer,
    writes: &[Write],
) -> Result<Vec<Arc<Record>>, ExternalError> {
    if writes.len() > NODES {
        return Err(ExternalError::TooMany);
    }
    let mut made = BTreeMap::<NodeId, Arc<Record>>::new();
    let now = unix_micros();
    for Write { name, changes, seen } in writes {
        let id = NodeId::external(name);
        let old = made.get(&id).or_else(|| newest.get(&id)).or_else(|| snapshot.externals.get(&id));
        if seen.is_some_and(|seen| seen != old.map(|old| old.stamp)) {
            return Err(ExternalError::Changed(name.clone()));
        }
        let record = next(old.map(|old| &**old), name, signer.id(), now, changes);
        let record = record.map_err(|source| ExternalError::Set { name: name.clone(), source })?;
        let Some(record) = record else { continue };
        if is_from_the_future(&record, now / 1_000_000) {
            return Err(ExternalError::Ahead(name.clone()));
        }
        // What an agent hides may still be taken away.
        let adds = |change: &Change| matches!(change, Change::Node(_) | Change::Instance(_) | Change::Check(_));
        if changes.iter().any(adds) && has_agent(snapshot, name) {
            return Err(ExternalError::HasAgent(name.clone()));
        }
        // They were open when somebody looked; only the owner's word makes them so.
        let is_closed =
            |change: &Change| matches!(change, Change::Tags(id, Some(_)) if open_to_tags(snapshot, name, id).is_none());
        if changes.iter().any(is_closed) {
            return Err(ExternalError::Changed(name.clone()));
        }
        let is_more = !record.has_left() && old.is_none_or(|old| old.has_left());
        let most = snapshot.externals.len() + newest.len() + made.len();
        if is_more && most >= limits::EXTERNALS && n_live(snapshot, newest, &made) >= limits::EXTERNALS {
            return Err(ExternalError::TooMany);
        }
        made.insert(id, Arc::new(signer.sign(record)));
    }
    Ok(made.into_values().collect())
}

/// How many nodes without an agent there are; removed ones make room.
fn n_live(snapshot: &Snapshot, newest: &HashMap<NodeId, Arc<Record>>, made: &BTreeMap<NodeId, Arc<Record>>) -> usize {
    let old = snapshot.externals.iter().filter(|(id, _)| !newest.contains_key(id) && !made.contains_key(id));
    let old = old.map(|(_, record)| record);
    let accepted = newest.iter().filter(|(id, _)| !made.contains_key(id)).map(|(_, record)| record);
    old.chain(accepted).chain(made.values()).filter(|record| !record.has_left()).count()
}

/// What takes away the tags that are given to instances of ours that are not there, or not open to them.
fn stray_tags(snapshot: &Snapshot) -> Option<Write> {
    let own = &snapshot.local.record;
    let given = snapshot.externals.get(&NodeId::external(&own.name))?;
    let is_open = |id| own.instance(id).is_some_and(|instance| instance.enable_tag_override);
    let stray: Vec<_> = tagged(given).filter(|(id, _)| !is_open(id)).map(|(id, _)| Change::Tags(id.clone(), None)).collect();
    // Who stops has the same services when it starts.
    let is_due = !stray.is_empty() && !own.is_last();
    is_due.then(|| Write { name: own.name.clone(), changes: stray, seen: None })
}

/// Whether an agent runs on the node of this name.
fn has_agent(snapshot: &Snapshot, name: &Name) -> bool {
    let is_own = snapshot.local.record.name.as_str().eq_ignore_ascii_case(name.as_str());
    let is_agent = |origin: &Origin| {
        let node = snapshot.nodes.get(origin);
        node.is_some_and(|node| !node.external && origin.node_id().is_some() && node.state.is_listed())
    };
    is_own || snapshot.offers_by_name(name.as_str()).any(|offers| is_agent(&offers.node.origin))
}

fn key(record: &Record) -> Bytes {
    record.origin.node_id().map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default()
}

fn value(record: &Record) -> Bytes {
    let mut bytes = Vec::new();
    binary::encode_record(record, &mut bytes);
    bytes.into()
}

#[cfg(test)]
mod tests;
